"""Every dvc.lock that a repository's history holds: which commit made a file, and which files a commit made."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from heldout.compare import manifests, revisions
from heldout.compare.revisions import git

LOCK, PARAMS, EXPORT = "dvc.lock", "params.yaml", "export"


class Lock(NamedTuple):
    """A dvc.lock: the commit ('' is the work tree), the author's date (ISO 8601), the subject, and the file's bytes."""

    commit: str
    date: str
    subject: str
    content: bytes

    @property
    def name(self) -> str:
        """`855cb6942f (2026-11-28, the subject)`."""
        return f"{self.commit[:10]} ({self.date[:10]}, {self.subject})" if self.commit else revisions.WORK_TREE

    @property
    def stages(self) -> dict[str, Any]:
        """The entries by stage; none where it is no YAML, as a killed DVC may leave it."""
        return _stages(self.content)

    def outputs(self) -> dict[str, str]:
        """The md5 of each output, by its path; a folder's ends in .dir."""
        entries = [out for stage in self.stages.values() for out in stage.get("outs", [])]
        return {out["path"]: out["md5"] for out in entries if "md5" in out}

    def params(self) -> dict[str, Any]:
        """The sections of params.yaml that its stages read."""
        stages = revisions.read_yaml(self.content)["stages"]
        return {
            key: value for stage in stages.values() for key, value in stage.get("params", {}).get(PARAMS, {}).items()
        }

    def exported(self) -> dict[str, str] | None:
        """The md5 of each file of export/; None where DVC's cache has not the list."""
        content = manifests.content_of(self.outputs().get(EXPORT, ""))
        return {item["relpath"]: item["md5"] for item in json.loads(content)} if content else None


def history(root: str | Path = ".") -> Iterator[Lock]:
    """The dvc.lock of every commit that changed it, on all branches, tags and experiments, the oldest first.

    Raises:
        ValueError: where there is no repository of git, or only the top of one.
    """
    if git(root, "rev-parse", "--git-dir").returncode:
        raise ValueError(
            f"expected a git repository, got {Path(root).resolve()}: run it in the clone that made the file"
        )
    if git(root, "rev-parse", "--is-shallow-repository").stdout.strip() == b"true":
        raise ValueError("this clone is shallow: `git fetch --unshallow` brings the history that is looked through")
    log = git(root, "log", "--all", "--date-order", "--reverse", "--format=%H%x00%aI%x00%s", "--", LOCK).stdout
    for line in log.decode(errors="replace").splitlines():
        commit, date, subject = line.split("\0", 2)
        content = git(root, "show", f"{commit}:{LOCK}")
        if content.returncode == 0:
            yield Lock(commit, date, subject, content.stdout)


def work_tree(root: str | Path = ".") -> Lock | None:
    """That of the work tree, if there is one."""
    file = Path(root, LOCK)
    return Lock("", "", "", file.read_bytes()) if file.is_file() else None


@cache
def _stages(content: bytes) -> dict[str, Any]:
    """By libyaml, in a twentieth of the time of `revisions.read_yaml`: names and digests need no YAML 1.2."""
    try:
        lock = yaml.load(content, yaml.CSafeLoader)
    except yaml.YAMLError:
        return {}
    stages = lock.get("stages") if isinstance(lock, dict) else None
    return stages if isinstance(stages, dict) else {}
