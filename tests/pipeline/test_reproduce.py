"""What .ci/reproduce does with a remote that lacks, hides or has damaged something: real remotes, real refusals."""

import base64
import os
import re
import shutil
import socket
import subprocess
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml
from conftest import ROOT, commit
from test_ci import MARKER, clone_of, must

pytestmark = pytest.mark.slow

GRAPH = """stages:
  prepare: {cmd: mkdir -p parts && cp data.json parts/a && cp base parts/b, deps: [data.json, base], outs: [parts]}
  train: {cmd: cat parts/a parts/b > model.json, deps: [parts], params: [epochs], outs: [model.json]}
  evaluate: {cmd: cp data.json metrics/eval.json, deps: [model.json], metrics: [metrics/eval.json: {cache: false}]}
"""
ANNA, BEN = "Anna <anna@example.org>, commit ", "Ben <ben@example.org>, commit "
PUSH = "`dvc push --run-cache` is missing from "
CHILD = "01/826dad51e01f4fb3045a1fe829c37d"  # the md5 of "epochs: 1\n", which is parts/b


def author(monkeypatch, name: str) -> None:
    monkeypatch.setenv("GIT_AUTHOR_NAME", name)
    monkeypatch.setenv("GIT_AUTHOR_EMAIL", f"{name.lower()}@example.org")


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A repository of three stages whose results Anna has committed; its remote is a folder beside it, as yet none."""
    folder = tmp_path_factory.mktemp("template")
    (folder / "metrics").mkdir()
    for name, text in {"dvc.yaml": GRAPH, "params.yaml": "epochs: 1\n", "base": "epochs: 1\n"}.items():
        (folder / name).write_text(text)
    (folder / "data.json").write_text('{"accuracy": 0.9}\n')
    must(
        folder,
        "git init -q -b main",
        "dvc init -q",
        "dvc remote add -q -d store ../store",
        "dvc repro -q",
    )
    with pytest.MonkeyPatch.context() as patch:
        author(patch, "Anna")
        commit(folder)
    return folder


@pytest.fixture
def repo(template, tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    monkeypatch.setenv("DVC_GLOBAL_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("no_proxy", "*")
    author(monkeypatch, "Ben")
    repo = shutil.copytree(template, tmp_path / "repo")
    commit(repo)
    return repo


def reproduce(clone: Path, *settings: str) -> tuple[str, list[str]]:
    """The output of .ci/reproduce and its error lines, with settings of the remote that only this clone has."""
    must(clone, *(f"dvc remote modify -q --local store {setting}" for setting in settings))
    done = subprocess.run([ROOT / ".ci/reproduce"], cwd=clone, capture_output=True, text=True, timeout=120)
    lines = done.stderr.splitlines()
    assert done.returncode == bool(lines), done
    assert all(line.startswith("reproduce: ") for line in lines) and not (lines and "Running stage" in done.stdout)
    return done.stdout, [line.removeprefix("reproduce: ") for line in lines]


def fault(clone: Path, *settings: str) -> str:
    """The one line in which .ci/reproduce ends."""
    (line,) = reproduce(clone, *settings)[1]
    return line


def object_of(repo: Path, name: str) -> str:
    digest = re.search(rf"path: {name}\n *hash: md5\n *md5: (\S+)", (repo / "dvc.lock").read_text())[1]
    return f"{digest[:2]}/{digest[2:]}"


def damage(file: Path, text: str = "other bytes") -> None:
    """Overwrite an object, which stays read-only."""
    file.chmod(0o644)
    file.write_text(text)
    file.chmod(0o444)


def test_without_a_remote_everything_runs(repo):
    must(repo, "dvc config -q --unset core.remote", "git commit -q -a -m none")
    output, lines = reproduce(clone_of(repo))
    assert "no default DVC remote is set: what is missing runs here" in output and lines == []
    assert re.findall("Running stage '(.*)'", output) == ["prepare", "train"]


def test_what_was_pushed_is_pulled_and_what_is_stale_runs(repo):
    must(repo, "dvc push -q --run-cache")
    clone = clone_of(repo)
    output, lines = reproduce(clone)
    assert lines == [] and "Running stage" not in output and (clone / "model.json").exists()
    (clone / "params.yaml").write_text("epochs: 2\n")
    output, lines = reproduce(clone)
    assert re.findall("Running stage '(.*)'", output) == ["train"]


def test_a_stage_that_fails(repo):
    must(repo, "dvc push -q --run-cache")
    clone = clone_of(repo)
    (clone / "dvc.yaml").write_text(GRAPH.replace("cat parts", "cat none parts"))
    done = subprocess.run([ROOT / ".ci/reproduce"], cwd=clone, capture_output=True, text=True)
    assert done.returncode == 1 and "reproduce: `dvc repro` failed: its own lines are above" in done.stderr


def test_a_forgotten_push_names_what_and_whose(repo, tmp_path, monkeypatch):
    line = fault(clone_of(repo))
    assert line.startswith(
        f"no object: the DVC remote 'store' ({tmp_path / 'store'}) lacks model.json, parts: {PUSH}{ANNA}"
    )
    must(repo, "dvc push -q")
    (repo / "params.yaml").write_text("epochs: 2\n")
    (repo / "base").write_text("base\n")
    must(repo, "dvc repro -q")
    commit(repo)
    shutil.rmtree(tmp_path / "clone")
    assert f"lacks model.json, parts: {PUSH}{BEN}" in fault(clone_of(repo))
    must(repo, "dvc push -q parts")
    shutil.rmtree(tmp_path / "clone")
    assert f"lacks model.json: {PUSH}{BEN}" in fault(clone_of(repo))


def test_a_forgotten_push_where_a_stage_is_stale_as_well(repo):
    clone = clone_of(repo)
    (clone / "params.yaml").write_text("epochs: 2\n")
    assert "lacks model.json, parts: " in fault(clone)


def test_without_the_packages(repo, tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3").write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    (tmp_path / "bin/python3").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    assert "cannot import dvc: run `make setup` and put .venv/bin on PATH" in fault(clone_of(repo))


def test_the_author_is_that_of_the_output_and_not_of_the_last_commit(repo):
    (repo / "params.yaml").write_text("epochs: 2\n")
    (repo / "dvc.yaml").write_text(GRAPH.replace("cat parts/a", "cat"))
    must(repo, "dvc repro -q", "dvc push -q model.json")
    commit(repo)
    assert f"lacks parts: {PUSH}{ANNA}" in fault(clone_of(repo))


def test_a_shallow_clone_names_nobody(repo):
    assert f"{PUSH}whom a deeper clone names" in fault(clone_of(repo, "--depth", "1"))


def test_a_file_of_a_folder_that_is_missing_and_the_remedy(repo, tmp_path):
    must(repo, "dvc push -q")
    child = tmp_path / "store/files/md5" / CHILD
    child.unlink()
    line = fault(clone_of(repo))
    assert f"lacks parts: {PUSH}{ANNA}" in line
    removed = Path(re.search("DVC takes it for pushed until (.*) is removed there", line)[1])
    must(repo, "dvc push -q")
    assert not child.exists()
    removed.unlink()
    must(repo, "dvc push -q")
    shutil.rmtree(tmp_path / "clone")
    assert reproduce(clone_of(repo))[1] == []


@pytest.mark.parametrize("name", [CHILD, "model.json", "parts"])
def test_a_damaged_object_and_the_remedy(repo, tmp_path, name):
    must(repo, "dvc push -q")
    if name != CHILD:
        name = object_of(repo, name)
    damage(tmp_path / "store/files/md5" / name)
    line = fault(clone_of(repo))
    assert line.startswith(f"damaged object: the DVC remote 'store' ({tmp_path / 'store'}) holds other bytes for ")
    paths = re.search(f": remove (.*) there, then `dvc push` by {ANNA}", line)[1]
    for path in paths.split(", "):
        Path(path).unlink()
    must(repo, "dvc push -q")
    shutil.rmtree(tmp_path / "clone")
    assert reproduce(clone_of(repo))[1] == []


@pytest.mark.parametrize("name", ["model.json", "parts"])
def test_a_damaged_object_that_dvc_itself_removes(repo, tmp_path, name):
    """In a folder remote, where the object is not read-only."""
    must(repo, "dvc push -q")
    file = tmp_path / "store/files/md5" / (CHILD if name == "parts" else object_of(repo, name))
    damage(file)
    file.chmod(0o644)
    line = fault(clone_of(repo))
    assert line.startswith("damaged object: ") and f"holds other bytes for {name}: " in line
    for path in re.findall(": remove (.*) there", line):
        for part in path.split(", "):
            Path(part).unlink(missing_ok=True)
    must(repo, "dvc push -q")
    shutil.rmtree(tmp_path / "clone")
    assert reproduce(clone_of(repo))[1] == []


def test_a_list_of_a_folder_that_was_exchanged(repo, tmp_path):
    must(repo, "dvc push -q")
    (listing,) = (tmp_path / "store/files/md5").rglob("*.dir")
    damage(listing, listing.read_text().replace('"b"', '"c"'))
    assert f"holds other bytes for parts: remove {listing} there" in fault(clone_of(repo))


class Store(SimpleHTTPRequestHandler):
    """A folder over HTTP: 401 without the password, 403 for one file."""

    def send_head(self):
        expected = "Basic " + base64.b64encode(b"ci:secret").decode()
        if self.headers["Authorization"] != expected:
            return self.send_error(401)
        return self.send_error(403) if self.path.endswith(self.server.forbidden) else super().send_head()

    def log_message(self, *arguments):
        pass


@pytest.fixture
def web(repo, tmp_path):
    """The address of an HTTP remote that has everything, and its server."""
    must(repo, "dvc push -q")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Store, directory=tmp_path / "store")) as server:
        server.forbidden = "nothing"
        Thread(target=server.serve_forever, args=(0.01,)).start()
        yield f"http://127.0.0.1:{server.server_port}", server
        server.shutdown()


PASSWORD = ("auth basic", "user ci", "password secret")


def test_http_with_the_password(repo, web):
    clone = clone_of(repo)
    must(clone, *(f"dvc remote modify -q --local store {setting}" for setting in (f"url {web[0]}", *PASSWORD)))
    done = subprocess.run([ROOT / ".ci/reproduce"], cwd=clone, capture_output=True, text=True)
    assert done.returncode == 0 and (clone / "parts/b").exists()


@pytest.mark.parametrize("settings", [(), ("auth basic", "user ci", "password wrong")], ids=["none", "wrong"])
def test_http_without_credentials(repo, web, settings):
    line = fault(clone_of(repo), f"url {web[0].replace('//', '//me:hidden@')}", *settings)
    assert line.startswith(f"no credentials: the DVC remote 'store' ({web[0]}) refuses model.json, parts (")
    assert "401" in line and "give this job the remote's" in line and "hidden" not in line


def test_http_refuses_or_lacks_one_object(repo, web, tmp_path):
    web[1].forbidden = CHILD
    line = fault(clone_of(repo), f"url {web[0]}", *PASSWORD)
    assert line.startswith("no credentials: ") and "refuses parts (" in line and "403" in line
    (tmp_path / "store/files/md5" / CHILD).unlink()
    web[1].forbidden = "nothing"
    shutil.rmtree(tmp_path / "clone")
    line = fault(clone_of(repo), f"url {web[0]}", *PASSWORD)
    assert line.startswith("no object: ") and f"lacks parts: {PUSH}{ANNA}" in line


@pytest.fixture
def closed_port():
    """A port where nobody listens: bound, so that nobody else can take it."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.mark.parametrize("scheme", ["http", "ssh", "s3"])
def test_no_server(repo, closed_port, scheme, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    address = f"127.0.0.1:{closed_port}"
    url = "s3://bucket/data" if scheme == "s3" else f"{scheme}://{address}/data"
    line = fault(clone_of(repo), f"url {url}", *[f"endpointurl http://{address}"] * (scheme == "s3"))
    assert line.startswith(f"no server: the DVC remote 'store' ({url}) does not answer (")
    assert str(closed_port) in line and "is it up, and may this machine reach it?" in line


def test_s3_without_credentials(repo, closed_port):
    line = fault(clone_of(repo), "url s3://bucket/data", f"endpointurl http://127.0.0.1:{closed_port}")
    assert line.startswith("no credentials: ") and "(NoCredentialsError: Unable to locate credentials)" in line


def test_a_default_remote_that_is_not_configured(repo):
    must(repo, "dvc config -q core.remote nowhere", "git commit -q -a -m nowhere")
    assert "the default DVC remote 'nowhere' cannot be used: " in fault(clone_of(repo))


def test_gitlab_reports_and_fails_where_something_is_missing(repo, monkeypatch):
    clone = clone_of(repo)
    shutil.copytree(ROOT / ".ci", clone / ".ci")
    monkeypatch.setenv("CI_MERGE_REQUEST_DIFF_BASE_SHA", "HEAD")
    monkeypatch.setenv("GITLAB_TOKEN", "")
    lines = yaml.safe_load((ROOT / ".gitlab-ci.yml").read_text(encoding="utf-8"))["report"]["script"]
    command = ["bash", "-e", "-o", "pipefail", "-c", "\n".join(lines)]
    done = subprocess.run(command, cwd=clone, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith("reproduce: no object: "), done
    assert (clone / "report.md").read_text().startswith(MARKER)
