"""Where DVC writes: its folders, whether they can be written to, and how much space is left there."""

import getpass
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Where less is free, sqlite and TensorFlow end in errors that do not name the disk. A whole run of the default graph
# wrote 61 MB (a small network on the 5,000 digits), half of it to the cache.
ENOUGH = 100e6


def findings() -> Iterator[str]:
    """A line for each damaged file of DVC's settings, each place that cannot be written to, and each full disk."""
    yield from _config_errors()
    yield from _not_writable()
    yield from _full_disks()


def cache_folder() -> Path:
    """DVC's cache, absolute."""
    return Path(_config().get("cache", {}).get("dir") or ".dvc/cache").resolve()


def site_folder() -> Path:
    """The folder of DVC's databases, absolute."""
    from dvc.dirs import site_cache_dir

    return Path(site_cache_dir(_config().get("core", {}).get("site_cache_dir"))).resolve()


def has_hardlink_lock() -> bool:
    """Whether DVC locks the repository by hard links, as it is set to on some network file systems."""
    return bool(_config().get("core", {}).get("hardlink_lock", False))


def output_folders() -> list[Path]:
    """The folders in which the stages of dvc.yaml write their outputs, relative."""
    from dvc.utils.serialize import ParseError, load_yaml

    try:
        stages = load_yaml("dvc.yaml")["stages"].values()
        entries = [entry for stage in stages for kind in ("outs", "metrics", "plots") for entry in stage.get(kind, [])]
        return sorted({Path(entry if isinstance(entry, str) else next(iter(entry))).parent for entry in entries})
    except (OSError, ParseError, KeyError, AttributeError, TypeError):
        return []


def shown(path: Path) -> str:
    """The path as a user knows it: relative where it lies in the current folder."""
    root = Path.cwd().resolve()
    return str(path.relative_to(root) if path.is_absolute() and path.is_relative_to(root) else path)


def _config() -> dict[str, Any]:
    """DVC's settings; none where a file of them is damaged."""
    from dvc.config import Config, ConfigError

    try:
        return Config(".dvc")
    except (ConfigError, OSError):
        return {}


def _config_errors() -> Iterator[str]:
    from dvc.config import Config, ConfigError

    remedies = {"config": "`git diff .dvc/config` shows it, `git restore .dvc/config` takes it back"}
    remedies["config.local"] = "correct it, or remove it and run `make setup`"
    for name, remedy in remedies.items():
        try:
            Config.validate(Config.load_file(f".dvc/{name}"))
        except FileNotFoundError:
            continue
        except (ConfigError, OSError) as error:
            yield f".dvc/{name}: {' '.join(str(error).split())}: {remedy}"


def _not_writable() -> Iterator[str]:
    """One line for each of the repository, the cache and the databases: `sudo make`, run once, is enough for all."""
    me = getpass.getuser()
    for top, paths in _written_by_dvc().items():
        denied = [path for path in paths if path.exists() and not _is_writable(path)]
        if not denied:
            continue
        first, owner = denied[0], _owner(denied[0])
        more, belong = (f" and {len(denied) - 1} more", "belong") if len(denied) > 1 else ("", "belongs")
        if os.statvfs(first).f_flag & os.ST_RDONLY:
            yield f"{shown(first)} lies on a file system that is mounted read-only: work in a copy elsewhere"
        elif owner == me:
            yield f"{shown(first)}{more} cannot be written to by you, its owner: `chmod -R u+w {shown(top)}`"
        else:
            yield (
                f"{shown(first)}{more} {belong} to {owner} and cannot be written to by {me}: "
                f"`sudo chown -R {me} {shown(top)}`, or work in a clone of your own"
            )


def _written_by_dvc() -> dict[Path, list[Path]]:
    root, dvc, kept, site = Path.cwd().resolve(), Path(".dvc").resolve(), cache_folder(), site_folder()
    return {
        root: [root, dvc, root / "dvc.lock", *(dvc / "tmp").glob("*"), *_existing(output_folders())],
        kept: [kept, *kept.glob("*"), *kept.glob("files/*"), *kept.glob("files/md5/*"), *kept.glob("runs/*")],
        site: [site, *site.glob("repo"), *(site.rglob("*") if site.is_relative_to(root) else [])],
    }


def _existing(folders: list[Path]) -> list[Path]:
    return [folder.resolve() for folder in folders if folder.is_dir()]


def _is_writable(path: Path) -> bool:
    return os.access(path, os.W_OK | os.X_OK if path.is_dir() else os.W_OK)


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except KeyError:
        return f"user {path.stat().st_uid}"  # of a container or another machine: it has no name here


def _full_disks() -> Iterator[str]:
    places = {"the repository": Path.cwd(), "DVC's cache": cache_folder(), "DVC's databases": site_folder()}
    try:
        places["temporary files (TMPDIR)"] = Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        yield f"{error.strerror}: free some space there, or set TMPDIR to another folder"
    full: dict[int, list[str]] = {}  # by file system: a folder of it, then what lies there
    for name, path in places.items():
        folder = next(folder for folder in (path, *path.parents) if folder.exists())
        if shutil.disk_usage(folder).free < ENOUGH or _no_inodes(folder):
            full.setdefault(folder.stat().st_dev, [str(folder)]).append(name)
    for top, *names in full.values():
        free = f"{shutil.disk_usage(top).free / 1e6:.0f} MB" + (", no inodes" if _no_inodes(Path(top)) else "")
        yield (
            f"{free} free at {top}, for {', '.join(names)}: free some space (`heldout cache --clear` removes the "
            "decoded images); a run of the default graph writes 61 MB"
        )


def _no_inodes(folder: Path) -> bool:
    files = os.statvfs(folder)
    return files.f_files > 0 and files.f_favail == 0  # some file systems have no limit, and say 0 of 0
