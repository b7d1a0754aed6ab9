"""The CI's scripts on a real DVC repository and a real HTTP server, and the two CI files against their schemas."""

import json
import os
import re
import shutil
import subprocess
import sys
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml
from conftest import ROOT, commit, execute

MARKER = "<!-- heldout report -->"
REMEDY = "run `dvc repro` and commit dvc.lock, code.yaml, metrics/ and plots/"
GRAPH = """stages:
  train: {cmd: cp data.json model.json, deps: [data.json], params: [epochs, code.yaml: [train]], outs: [model.json]}
  evaluate: {cmd: cp model.json metrics/eval.json, deps: [model.json], metrics: [metrics/eval.json: {cache: false}]}
"""


def must(folder: Path, *commands: str) -> None:
    for command in commands:
        execute(*command.split(), cwd=folder)


def script(folder: Path, name: str, *words: str, expect: int = 0) -> str:
    """The output of a script of .ci; one line where it is expected to fail."""
    output = execute(str(ROOT / ".ci" / name), *words, cwd=folder, expect=expect).stdout
    assert not expect or output.count("\n") == 1, output
    return output


def clone_of(repo: Path, *options: str) -> Path:
    must(repo.parent, f"git clone -q {' '.join(options)} file://{repo} clone")
    return repo.parent / "clone"


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A repository of two stages, reproduced and committed."""
    folder = tmp_path_factory.mktemp("template")
    (folder / "metrics").mkdir()
    (folder / "dvc.yaml").write_text(GRAPH)
    (folder / "params.yaml").write_text("epochs: 1\n")
    (folder / "code.yaml").write_text("train: 0a\n")
    (folder / "data.json").write_text('{"accuracy": 0.9}\n')
    must(folder, "git init -q -b main", "dvc init -q", "dvc repro -q")
    commit(folder)
    return folder


@pytest.fixture
def repo(template, tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    monkeypatch.setenv("DVC_GLOBAL_CONFIG_DIR", str(tmp_path / "config"))
    return shutil.copytree(template, tmp_path / "repo")


@pytest.fixture(params=["with data", "without data"])
def checkout(request, repo):
    return repo if request.param == "with data" else clone_of(repo)


def test_fresh(checkout):
    assert script(checkout, "freshness") == "dvc.lock is fresh\n"


@pytest.mark.parametrize(
    "file, text, stages",
    [
        ("params.yaml", "epochs: 2\n", "train"),
        ("dvc.yaml", GRAPH.replace("cp", "cp -f"), "evaluate train"),
        ("metrics/eval.json", '{"accuracy": 1.0}\n', "evaluate"),
    ],
)
def test_stale(checkout, file, text, stages):
    (checkout / file).write_text(text)
    line = f"freshness: dvc.lock is stale, changed stages: {stages} (those after them may follow): {REMEDY}\n"
    assert script(checkout, "freshness", expect=1) == line


def test_freshness_is_not_fooled_by_what_dvc_passes_over(checkout):
    (checkout / "dvc.yaml").write_text(GRAPH.replace("outs: [model.json]", "outs: [model.json], frozen: true"))
    (checkout / "params.yaml").write_text("epochs: 2\n")
    assert "frozen stages: train: `dvc unfreeze` them" in script(checkout, "freshness", expect=1)
    must(checkout, "git checkout -q .", "git rm -q metrics/eval.json")
    assert "stale, missing from git: metrics/eval.json: run" in script(checkout, "freshness", expect=1)
    (checkout / "dvc.lock").write_text("")
    assert "could not judge dvc.lock: './dvc.lock' validation failed" in script(checkout, "freshness", expect=1)


def test_report_of_a_change(repo):
    (repo / "params.yaml").write_text("epochs: 2\n")
    (repo / "data.json").write_text('{"accuracy": 0.912345, "loss": 0.3}\n')
    must(repo, "dvc repro -q", "git commit -q -a -m more")
    output = script(repo, "report", "HEAD~1")
    heading = "## heldout: the test accuracy changed from 0.9 to 0.912345 (+0.012345).\n"
    assert output.startswith(f"{MARKER}\n{heading}\nThe numbers are those committed.\n")
    assert re.search(r"\| metrics/eval.json \| accuracy +\| 0.9 +\| 0.9123 +\| 0.0123 +\|", output)
    assert re.search(r"\| metrics/eval.json \| loss +\| - +\| 0.3 +\| - +\|", output)
    assert re.search(r"\| params.yaml \| epochs +\| 1 +\| 2 +\|", output)
    assert output.endswith("dvc.lock is fresh\n")


def test_report_names_the_stages_whose_code_differs(repo):
    (repo / "code.yaml").write_text("train: 0b\n")
    must(repo, "dvc repro -q", "git commit -q -a -m code")
    output = script(repo, "report", "HEAD~1")
    assert "### Code\n\nThe code of these stages differs: train.\n" in output
    assert "No param differs from HEAD~1." in output and "0b" not in output


def test_report_without_a_change(repo):
    output = script(repo, "report", "main")
    assert "the test accuracy is unchanged." in output and "|" not in output
    assert "No metric differs from main." in output and "No param differs from main." in output
    assert "No stage's code differs from main." in output


def test_report_judges_the_commit_and_not_what_this_run_made_of_it(repo):
    (repo / "data.json").write_text('{"accuracy": 0.8}\n')
    must(repo, "git commit -q -a -m stale", "dvc repro -q")
    output = script(repo, "report", "HEAD~1")
    assert "it differs from the commit in `dvc.lock`, `metrics/eval.json`." in output
    assert "from 0.9 to 0.8 (-0.100000)" in output
    assert "freshness: dvc.lock is stale, changed stages: train" in output


def test_report_without_the_base(repo):
    must(repo, "git commit -q --allow-empty -m next")
    line = "report: HEAD~1 is not in this shallow clone: check out with fetch-depth: 0 (GitLab: GIT_DEPTH: 0)\n"
    assert script(clone_of(repo, "--depth", "1"), "report", "HEAD~1", expect=1) == line
    assert "received nowhere, which git does not know" in script(repo, "report", "nowhere", expect=1)
    assert "expected a git repository" in script(repo.parent, "freshness", expect=1)


def test_reproduce_without_a_remote_or_a_known_one(repo):
    output = script(clone_of(repo), "reproduce")
    assert "no default DVC remote is set" in output and "Running stage 'train'" in output
    (repo / ".dvc/config").write_text("[core]\nremote = nowhere\n")
    assert last_line(repo).startswith("reproduce: the default DVC remote 'nowhere' is not in .dvc/config: add it with")


def last_line(folder: Path, **environment: str) -> str:
    """How .ci/reproduce ends where it fails; the lines of DVC stand above."""
    command = [sys.executable, str(ROOT / ".ci/reproduce")]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=os.environ | environment)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    return done.stderr.splitlines()[-1]


@pytest.fixture
def with_remote(repo, tmp_path):
    """A repository with a folder remote, pushed, and a folder among its outputs."""
    (repo / "dvc.yaml").write_text(
        GRAPH.replace(
            "cp data.json model.json",
            "mkdir export && date > export/a && cp data.json model.json && date +%N > export/b",
        ).replace("outs: [model.json]", "outs: [model.json, export]")
    )
    (repo / ".dvc/config").write_text(f"[core]\nremote = store\n['remote \"store\"']\nurl = {tmp_path / 'store'}\n")
    must(repo, "dvc repro -q", "git add -A", "git commit -q -m remote", "dvc push -q")
    return repo


def test_reproduce_with_a_remote_pulls(with_remote):
    output = script(clone_of(with_remote), "reproduce")
    assert "pulling from the DVC remote 'store'" in output and "Running stage" not in output
    assert (with_remote.parent / "clone/export/b").exists()


def stored(repository: Path, oid: str) -> Path:
    return repository.parent / "store/files/md5" / oid[:2] / oid[2:]


def oid(repository: Path, path: str) -> str:
    lock = yaml.safe_load((repository / "dvc.lock").read_text())
    return next(out["md5"] for stage in lock["stages"].values() for out in stage["outs"] if out["path"] == path)


def test_a_forgotten_push_ends_1_and_names_the_commit(with_remote):
    shutil.rmtree(with_remote.parent / "store")
    sha = execute("git", "log", "-1", "--format=%h of %an", cwd=with_remote).stdout.strip()
    line = last_line(clone_of(with_remote))
    assert line == (
        "reproduce: model.json and 1 more: not on the remote 'store': `dvc push --run-cache` where commit "
        f"{sha} was made, then run this job again"
    )


@pytest.mark.parametrize("lost", ["model.json", "export", "export/b"])
def test_an_object_that_the_remote_lacks(with_remote, lost):
    name = lost
    if lost == "export/b":
        listing = json.loads(stored(with_remote, oid(with_remote, "export")).read_text())
        stored(with_remote, next(item["md5"] for item in listing if item["relpath"] == "b")).unlink()
        name = "export"
    else:
        stored(with_remote, oid(with_remote, lost)).unlink()
    assert last_line(clone_of(with_remote)).startswith(
        f"reproduce: {name}: not on the remote 'store': `dvc push --run-c"
    )


def test_a_damaged_object_is_not_taken(with_remote):
    path = stored(with_remote, oid(with_remote, "model.json"))
    path.chmod(0o644)
    path.write_text('{"accuracy": 1.0}\n')
    line = last_line(clone_of(with_remote))
    assert line.startswith(f"reproduce: model.json: damaged on the remote 'store': see that {path} is deleted there")
    assert not (with_remote.parent / "clone/model.json").exists()


class Guarded(SimpleHTTPRequestHandler):
    """A folder behind a password."""

    def do_GET(self):
        if self.headers.get("Authorization") == "Basic dTpw":  # u:p
            super().do_GET()
        else:
            self.send_error(401 if "Authorization" not in self.headers else 403)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture
def guarded(with_remote):
    """The remote behind an HTTP server that asks for a password; the clone's configuration to add the rest to."""
    handler = partial(Guarded, directory=str(with_remote.parent / "store"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        clone = clone_of(with_remote)
        url = f"http://127.0.0.1:{server.server_port}"
        (clone / ".dvc/config").write_text(f"[core]\nremote = web\n['remote \"web\"']\nurl = {url}\n")
        yield clone
        server.shutdown()


def test_a_remote_with_and_without_its_password(guarded):
    config = guarded / ".dvc/config"
    without = config.read_text()
    assert last_line(guarded).startswith("reproduce: model.json and 1 more: the remote 'web' refuses this job (")
    config.write_text(without + "auth = basic\nuser = u\npassword = x\n")
    line = last_line(guarded)
    assert "the remote 'web' refuses this job (" in line and line.endswith(
        "credentials; a fork's pull request gets none"
    )
    config.write_text(without + "auth = basic\nuser = u\npassword = p\n")
    script(guarded, "reproduce")
    assert (guarded / "export/b").exists()


@pytest.mark.parametrize(
    ("url", "environment", "expected"),
    [
        ("http://127.0.0.1:9", {}, "the remote 'away' does not answer ("),
        ("ssh://127.0.0.1:9/x", {}, "the remote 'away' does not answer ("),
        ("s3://bucket/x", {}, "the remote 'away' refuses this job (NoCredentialsError: Unable to locate credentials)"),
        (
            "s3://bucket/x",
            {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"},
            "the remote 'away' does not answer (",
        ),
    ],
)
def test_a_remote_that_is_away(with_remote, url, environment, expected):
    clone = clone_of(with_remote)
    endpoint = "endpointurl = http://127.0.0.1:9\n" if url.startswith("s3") else ""
    (clone / ".dvc/config").write_text(f"[core]\nremote = away\n['remote \"away\"']\nurl = {url}\n{endpoint}")
    nobody = {"AWS_EC2_METADATA_DISABLED": "true", "HOME": str(clone)}
    assert expected in last_line(clone, **nobody, **environment)


NOTES = "/projects/5/merge_requests/7/notes"
CALLS = {  # what lists and creates, what updates and by which method, and the header with the token
    "github": ("/repos/me/it/issues/7/comments", "/repos/me/it/issues/comments", "PATCH", "Authorization", "Bearer t"),
    "gitlab": (NOTES, NOTES, "PUT", "PRIVATE-TOKEN", "t"),
}
SETTINGS = {
    "github": {"GITHUB_REPOSITORY": "me/it", "PULL_REQUEST": "7", "GITHUB_TOKEN": "t"},
    "gitlab": {"CI_PROJECT_ID": "5", "CI_MERGE_REQUEST_IID": "7", "GITLAB_TOKEN": "t"},
}
ADDRESS = {"github": "GITHUB_API_URL", "gitlab": "CI_API_V4_URL"}
EXISTING = ["Nice!", f"> {MARKER}\n> quoted", f"see {MARKER}", None]


class CommentsAPI(BaseHTTPRequestHandler):
    """The comments of GitHub or GitLab: list a page, create, update one; 401 to any other token."""

    def respond(self):
        comments = self.server.comments
        listing, single, update, header, token = CALLS[self.server.kind]
        path, _, query = self.path.partition("?")
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "{}")
        if self.server.refuse or self.headers[header] != token:
            return self.send_error(self.server.refuse or 401)
        if (self.command, path) == ("GET", listing):
            size, page = map(int, re.fullmatch(r"per_page=(\d+)&page=(\d+)", query).groups())
            value = comments[size * (page - 1) : size * page]
        elif (self.command, path) == ("POST", listing):
            comments.append({"id": 1000 + len(comments), **body})
            value = comments[-1]
        else:
            assert self.command == update
            value = next(comment for comment in comments if path == f"{single}/{comment['id']}")
            value.update(body)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(value).encode())

    do_GET = do_POST = do_PATCH = do_PUT = respond


@pytest.fixture(params=["github", "gitlab"])
def host(request, tmp_path, monkeypatch):
    (tmp_path / "report.md").write_text(f"{MARKER}\nfirst\n")
    with ThreadingHTTPServer(("127.0.0.1", 0), CommentsAPI) as server:
        server.kind, server.comments, server.refuse = request.param, [], 0
        for name in ADDRESS.values():  # a CI may run these tests
            monkeypatch.delenv(name, raising=False)
        url = f"http://127.0.0.1:{server.server_port}"
        for name, value in {**SETTINGS[server.kind], ADDRESS[server.kind]: url, "no_proxy": "*"}.items():
            monkeypatch.setenv(name, value)
        Thread(target=server.serve_forever, args=(0.01,)).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize("existing", [EXISTING, EXISTING * 25, EXISTING * 30], ids=["1 page", "1 full page", "2 pages"])
def test_comment_is_created_once_then_updated(host, tmp_path, existing):
    host.comments = [{"id": number, "body": body} for number, body in enumerate(existing)]
    assert script(tmp_path, "comment", "report.md") == f"comment: created {1000 + len(existing)}\n"
    (tmp_path / "report.md").write_text(f"{MARKER}\nsecond\n")
    assert script(tmp_path, "comment", "report.md") == f"comment: updated {1000 + len(existing)}\n"
    assert [comment["body"] for comment in host.comments] == [*existing, f"{MARKER}\nsecond\n"]


def test_comment_is_cut_to_what_fits(host, tmp_path):
    (tmp_path / "report.md").write_text(f"{MARKER}\n" + "x" * 70_000)
    script(tmp_path, "comment", "report.md")
    assert len(host.comments[0]["body"]) == 65_536 and "(Cut here:" in host.comments[0]["body"][-200:]


def test_comment_refused(host, tmp_path):
    for host.refuse, remedy in {401: "expired", 403: "pull-requests: write on GitHub, the scope api"}.items():
        output = script(tmp_path, "comment", "report.md", expect=1)
        assert f"HTTP {host.refuse} from GET http" in output and remedy in output
    host.shutdown()
    host.server_close()
    assert "no answer from GET http" in script(tmp_path, "comment", "report.md", expect=1)


def test_comment_needs_its_variables_and_a_report(host, tmp_path, monkeypatch):
    assert "No such file or directory: none.md" in script(tmp_path, "comment", "none.md", expect=1)
    (tmp_path / "plain.md").write_text("no marker")
    assert "expected a marker" in script(tmp_path, "comment", "plain.md", expect=1)
    for name in SETTINGS[host.kind]:
        with monkeypatch.context() as patch:
            patch.delenv(name)
            assert f"variable {name} is not set: pass it" in script(tmp_path, "comment", "report.md", expect=1)
    monkeypatch.delenv(ADDRESS[host.kind])
    assert "received neither" in script(tmp_path, "comment", "report.md", expect=1)


@pytest.mark.parametrize(
    "schema, file", [("github-workflows", ".github/workflows/pull-request.yml"), ("gitlab-ci", ".gitlab-ci.yml")]
)
def test_ci_files_validate_and_call_what_exists(schema, file):
    must(ROOT, f"check-jsonschema --builtin-schema vendor.{schema} {file}")
    text = re.sub(r"#.*", "", (ROOT / file).read_text())
    scripts, targets = set(re.findall(r"\.ci/(\w+)", text)), set(re.findall(r"\bmake (\w+)", text))
    assert scripts == {path.name for path in (ROOT / ".ci").iterdir()} - {"run", "recompute"}  # which freshness calls
    assert all(os.access(ROOT / ".ci" / name, os.X_OK) for name in scripts)
    assert targets and targets <= set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M))
    steps = [step for job in yaml.safe_load(text).get("jobs", {}).values() for step in job["steps"]]
    assert not [step for step in steps if "${{" in step.get("run", "")]  # a branch's name would run as shell


def test_pre_commit_runs_what_setup_installs():
    file = ROOT / ".pre-commit-config.yaml"
    must(ROOT, f"pre-commit validate-config {file}")
    hooks = [hook for repo in yaml.safe_load(file.read_text(encoding="utf-8"))["repos"] for hook in repo["hooks"]]
    assert {hook["language"] for hook in hooks} == {"system"}  # no network
    lint = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)[1]
    for hook in hooks:
        assert hook["entry"] in lint  # `make lint` and the hooks are one list
