"""The command `heldout`: what is done beside the graph.

$ heldout predict photo.jpg folder/ --top 3 --json
"""

import argparse
import signal
import sys
from pathlib import Path

from heldout.command_line import parser
from heldout.core import process


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the result is the exit code."""
    process.setup()
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `heldout predict DIR | head` ends as other commands do
    options = parser().parse_args(arguments)
    return COMMANDS[options.command](options)


def _verify(options: argparse.Namespace) -> int:
    from heldout.commands import verify

    return verify.verify(options.export)


def _lineage(options: argparse.Namespace) -> int:
    from heldout.commands import lineage

    print("\n".join(lineage.of_image(options.image) if options.image else lineage.of_file(options.file)))
    return 0


def _search(options: argparse.Namespace) -> int:
    from heldout.commands import search

    return search.search(options)


def _compare(options: argparse.Namespace) -> int:
    from heldout.commands import compare

    return compare.compare(options)


def _noise(options: argparse.Namespace) -> int:
    from heldout.commands import compare

    return compare.measure_noise(options)


def _predict(options: argparse.Namespace) -> int:
    from heldout.commands import predict

    return predict.predict(options)


def _suggest(options: argparse.Namespace) -> int:
    from heldout.commands.suggest import suggest
    from heldout.data import manifest

    table = suggest(options.n, options.method)
    if options.output:
        manifest.write(table, options.output)
        print(f"{len(table):,} images in {options.output}")
    else:
        print(table.to_csv(index=False, lineterminator="\n"), end="")
    return 0


def _summary(_: argparse.Namespace) -> int:
    from heldout.commands.summary import summary

    print(summary())
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from heldout.commands import doctor

    done, needed = doctor.fix() if options.fix else ([], False)
    for line in done:
        print(f"heldout: {line}")
    lines = list(doctor.findings())
    for line in lines:
        print(f"heldout: {line}", file=sys.stderr)
    if not done and not lines:
        print("heldout: params.yaml, the images, DVC's files and the disks are as expected")
    return 3 if needed else 1 if lines else 0


def _cache(options: argparse.Namespace) -> int:
    from heldout.core import array_cache

    folder, lines = array_cache.cache_folder(), list(array_cache.report())
    print("\n".join(lines) if lines else f"no decoded images or features in {folder}")
    if options.clear and lines:
        array_cache.clear()
        print(f"removed {folder}")
    return 0


def _recipe(options: argparse.Namespace) -> int:
    from heldout.commands import recipes

    changed = recipes.apply(options.name, options.settings)
    print("\n".join(changed) if changed else f"params.yaml holds the values of {options.name} already")
    return 0


def _graph(options: argparse.Namespace) -> int:
    from heldout.commands import graph

    if not options.check:
        print(f"written: {', '.join(graph.write(Path())) or 'nothing, every list is as the stages call for'}")
        return 0
    stale = ", ".join(str(path) for path in graph.stale_files(Path()))
    if stale:
        print(f"heldout: lists in {stale} are not those of the stages: run `make graph`", file=sys.stderr)
    return 1 if stale else 0


COMMANDS = {
    "predict": _predict,
    "compare": _compare,
    "noise": _noise,
    "search": _search,
    "verify": _verify,
    "lineage": _lineage,
    "suggest": _suggest,
    "summary": _summary,
    "doctor": _doctor,
    "cache": _cache,
    "recipe": _recipe,
    "graph": _graph,
}

if __name__ == "__main__":
    sys.exit(main())
