"""The command `heldout`: what is done with a trained classifier, outside the graph.

$ heldout predict photo.jpg folder/ --top 3 --json
"""

import argparse
import json
import sys

from heldout import process


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the result is the exit code."""
    process.guard()
    parser = argparse.ArgumentParser("heldout", description="What is done with a trained classifier.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command = commands.add_parser("predict", help="name the class of image files, or of every file in folders")
    command.add_argument("paths", nargs="+", metavar="PATH", help="an image file, or a folder of them")
    command.add_argument("--export", default="export", metavar="DIR", help="what the export stage wrote (%(default)s)")
    command.add_argument("--top", type=_positive, default=1, metavar="K", help="name the K most probable classes")
    command.add_argument("--json", action="store_true", help="print JSON, one object a line, not a table")
    commands.add_parser("summary", help="print the figures in metrics/ and where to look")
    commands.add_parser("doctor", help="say what is wrong with params.yaml, the image folder or the installed versions")
    command = commands.add_parser("cache", help="say how large the cache of decoded images is")
    command.add_argument("--clear", action="store_true", help="remove it")
    command = commands.add_parser("recipe", help="put values that go well together, of recipes/, into params.yaml")
    command.add_argument("name", metavar="NAME", help="of a file in recipes/, such as photos")
    command.add_argument(
        "settings", nargs="*", metavar="SECTION.KEY=VALUE", help="more values, such as data.dir=data/raw"
    )
    options = parser.parse_args(arguments)
    run = {"predict": _predict, "summary": _summary, "doctor": _doctor, "cache": _cache, "recipe": _recipe}[
        options.command
    ]
    return run(options)


def _predict(options: argparse.Namespace) -> int:
    from heldout.predict import predict

    failed = rows = 0
    for row in predict(options.paths, options.export, options.top):
        rows += 1
        failed += "error" in row
        if options.json:
            print(json.dumps(row, ensure_ascii=False))
        elif "error" in row:
            print(f"heldout: {row['error']}", file=sys.stderr)
        else:
            answers = "  ".join(f"{answer['class']} {answer['confidence']:.1%}" for answer in row["answers"])
            print(f"{row['path']}  {answers}")
    if not rows:
        print(f"heldout: no files in {', '.join(options.paths)}", file=sys.stderr)
    return 0 if rows and not failed else 1


def _summary(_: argparse.Namespace) -> int:
    from heldout.summary import summary

    print(summary())
    return 0


def _doctor(_: argparse.Namespace) -> int:
    from heldout.doctor import findings

    found = list(findings())
    for line in found:
        print(f"heldout: {line}", file=sys.stderr)
    if not found:
        print("heldout: params.yaml, the image folder and the installed versions are as expected")
    return 1 if found else 0


def _cache(options: argparse.Namespace) -> int:
    from heldout import decoded

    lines = list(decoded.report())
    print("\n".join(lines) if lines else f"no decoded images in {decoded.place()}")
    if options.clear and lines:
        decoded.clear()
        print(f"removed {decoded.place()}")
    return 0


def _recipe(options: argparse.Namespace) -> int:
    from heldout import recipes

    changed = recipes.apply(options.name, options.settings)
    print("\n".join(changed) if changed else f"params.yaml holds the values of {options.name} already")
    return 0


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
