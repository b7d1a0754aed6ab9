"""The CI's scripts on a real DVC repository and a real HTTP server, and the two CI files against their schemas."""

import json
import os
import re
import shutil
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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


def test_an_unfinished_merge(repo):
    for name, value in {"one": 2, "two": 3}.items():
        must(repo, f"git checkout -q -b {name} main")
        (repo / "params.yaml").write_text(f"epochs: {value}\n")
        must(repo, "git commit -q -a -m change")
    execute("git", "merge", "one", cwd=repo, expect=1)
    line = "freshness: git is in the middle of a merge, in conflict: params.yaml: `heldout doctor` has the commands\n"
    assert script(repo, "freshness", expect=1) == line


REPORTED = """stages:
  train: {cmd: cp rows.csv model.csv, deps: [rows.csv], params: [epochs, code.yaml: [train]], outs: [model.csv]}
  evaluate:
    cmd: cp model.csv metrics/predictions.csv
    deps: [model.csv]
    plots: [metrics/predictions.csv: {cache: false}]
"""


def rows(right: int) -> str:
    """A hundred predictions, of which so many are right."""
    lines = ["id,path,label,predicted,confidence,label_probability,label_rank"]
    for number in range(100):
        answer = "a,a,0.9,0.9,1" if number < right else "a,b,0.9,0.1,2"
        lines.append(f"{number},photos/{number}.jpg,{answer}")
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def reported_template(tmp_path_factory):
    """A repository whose main has 80 of 100 test images right."""
    folder = tmp_path_factory.mktemp("reported")
    (folder / "metrics").mkdir()
    for name, text in {
        "dvc.yaml": REPORTED,
        "params.yaml": "epochs: 1\n",
        "code.yaml": "train: 0a\n",
        "rows.csv": rows(80),
    }.items():
        (folder / name).write_text(text)
    must(folder, "git init -q -b main", "dvc init -q", "dvc repro -q")
    commit(folder)
    return folder


@pytest.fixture
def reported(reported_template, tmp_path, monkeypatch):
    """A copy of `reported_template`, to be changed."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    return shutil.copytree(reported_template, tmp_path / "reported")


def test_report_of_a_change(reported):
    (reported / "params.yaml").write_text("epochs: 2\n")
    (reported / "code.yaml").write_text("train: 0b\n")
    (reported / "rows.csv").write_text(rows(95))
    must(reported, "dvc repro -q", "git commit -q -a -m more")
    output = script(reported, "report", "HEAD~1")
    assert output.startswith(f"{MARKER}\n## heldout: better\n\nbetter: accuracy 0.8000 to 0.9500 (+0.1500")
    assert "params epochs 1 to 2; code of train; data rows.csv" in output
    assert "15 fixed, 0 broken" in output and len(output.splitlines()) <= 30


def test_report_without_a_change(reported):
    output = script(reported, "report", "main")
    assert "no difference: both sides have the same trained model, accuracy 0.8000 on 100" in output
    assert "no param, code, version or data differs" in output and "Unproven" not in output


def test_a_gate_ends_1_with_the_report_and_an_annotation(reported, monkeypatch):
    (reported / "rows.csv").write_text(rows(60))
    must(reported, "dvc repro -q", "git commit -q -a -m worse")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    output = execute(str(ROOT / ".ci/report"), "HEAD~1", "--max-drop", "0.05", cwd=reported, expect=1).stdout
    line = "--max-drop 0.05: accuracy fell by 0.2000, 0.1500 more than allowed"
    assert "## heldout: worse" in output and f"- **gate:** {line}" in output
    assert f"::error title=heldout::{line}" in output


def test_report_judges_the_commit_and_not_what_this_run_made_of_it(reported):
    (reported / "rows.csv").write_text(rows(70))
    must(reported, "git commit -q -a -m stale", "dvc repro -q")
    output = script(reported, "report", "HEAD~1")
    unproven, origin, heading = (
        output.index("**Unproven: freshness: dvc.lock is stale"),
        output.index("differs"),
        output.index("##"),
    )
    assert unproven < origin < heading
    assert "it differs from the commit in `dvc.lock`, `metrics/predictions.csv`." in output
    assert "accuracy 0.8000 to 0.7000" in output


def test_a_stale_commit_gets_no_number(reported):
    (reported / "params.yaml").write_text("epochs: 2\n")
    must(reported, "git commit -q -a -m stale")
    output = execute(str(ROOT / ".ci/report"), "HEAD~1", cwd=reported, expect=1).stdout
    assert "## heldout: no verdict\n\ndvc.lock of the work tree is stale (train)" in output and "0.8" not in output


def test_report_without_the_base(reported):
    must(reported, "git commit -q --allow-empty -m next")
    line = "HEAD~1 is not in this shallow clone: check out with fetch-depth: 0 (GitLab: GIT_DEPTH: 0)\n"
    shallow = clone_of(reported, "--depth", "1")
    assert execute(str(ROOT / ".ci/report"), "HEAD~1", cwd=shallow, expect=1).stdout.endswith(f"no verdict\n\n{line}")
    output = execute(str(ROOT / ".ci/report"), "nowhere", cwd=reported, expect=1).stdout
    assert "got nowhere, which git does not know" in output
    assert "expected a revision, received []" in script(reported, "report", expect=1)


def test_freshness_outside_a_repository(tmp_path):
    assert "expected a git repository" in script(tmp_path, "freshness", expect=1)


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


def test_the_workflow_of_a_machine_with_a_gpu_validates():
    must(ROOT, "check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/train-gpu.yml")
    text = (ROOT / ".github/workflows/train-gpu.yml").read_text()
    assert yaml.safe_load(text)["jobs"]["train"]["runs-on"] == ["self-hosted", "gpu"]
    assert set(re.findall(r"uses: \S+@(\S+)", text)) == set(re.findall(r"uses: \S+@([0-9a-f]{40})\b", text))


def test_pre_commit_runs_what_setup_installs():
    file = ROOT / ".pre-commit-config.yaml"
    must(ROOT, f"pre-commit validate-config {file}")
    hooks = [hook for repo in yaml.safe_load(file.read_text(encoding="utf-8"))["repos"] for hook in repo["hooks"]]
    assert {hook["language"] for hook in hooks} == {"system"}  # no network
    lint = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)[1]
    for hook in hooks:
        assert hook["entry"] in lint  # `make lint` and the hooks are one list
