"""The command line of `heldout`: its commands and their options; docs/cli.md shows their help."""

import argparse


def parser() -> argparse.ArgumentParser:
    """The commands and their options; docs/cli.md shows their help."""
    result = argparse.ArgumentParser("heldout", description="What is done beside the graph of dvc.yaml.")
    commands = result.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_predict(commands)
    _add_comparisons(commands)
    _add_search(commands)
    _add_shipping(commands)
    command = commands.add_parser(
        "suggest", help="name the images without a label that are most worth labelling, as CSV"
    )
    command.add_argument("--n", type=_positive, default=50, metavar="N", help="how many (%(default)s)")
    command.add_argument(
        "--method", choices=("margin", "k_center"), default="margin",
        help="where the model is in doubt between two classes, or far from what is labelled (%(default)s)",
    )  # fmt: skip
    command.add_argument("--output", metavar="FILE", help="write the CSV here, not to the screen")
    commands.add_parser("summary", help="print the figures in metrics/ and where to look")
    command = commands.add_parser("doctor", help="say what is wrong: params.yaml, the images, DVC's files, the disks")
    command.add_argument("--fix", action="store_true", help="mend what a killed dvc left; exit 3 where that was needed")
    command = commands.add_parser("cache", help="say how large the cache of decoded images and features is")
    command.add_argument("--clear", action="store_true", help="remove it")
    command = commands.add_parser("recipe", help="put values that go well together, of recipes/, into params.yaml")
    command.add_argument("name", metavar="NAME", help="of a file in recipes/, such as photos")
    command.add_argument(
        "settings", nargs="*", metavar="SECTION.KEY=VALUE", help="more values, such as data.dir=data/raw"
    )
    command = commands.add_parser("graph", help="write the lists that follow from the stages' code (make graph)")
    command.add_argument("--check", action="store_true", help="write nothing; exit 1 where a list is stale")
    return result


def _add_predict(commands: argparse._SubParsersAction) -> None:
    """The command and its options."""
    command = commands.add_parser("predict", help="predict the class of image files, or of every file in folders")
    command.add_argument(
        "paths", nargs="+", metavar="PATH",
        help="an image file, a folder of them, a pattern such as 'data/**/*.jpg', or - for names on standard input",
    )  # fmt: skip
    command.add_argument(
        "--model", metavar="FILE", help="a model in any format, or the name of one (the first of the export that runs)"
    )
    command.add_argument(
        "--export", metavar="DIR", help="what the export stage wrote (the folder of the model, or export)"
    )
    command.add_argument("--top", type=_positive, default=1, metavar="K", help="name the K most probable classes")
    command.add_argument(
        "--max-megapixels", type=float, default=100, metavar="M", help="refuse a larger image (%(default)s)"
    )
    command.add_argument("--text", metavar="TEXT", help="what is known of the images in words, such as a title")
    output = command.add_mutually_exclusive_group()
    output.add_argument(
        "--format", choices=("table", "csv", "json", "jsonl"), default="table",
        help="a table for the eye, CSV, one JSON array, or one JSON object a line (%(default)s)",
    )  # fmt: skip
    output.add_argument("--json", action="store_true", help="the same as --format jsonl")
    command.add_argument("-0", "--null", action="store_true", help="names on standard input end in a NUL, not a line")


def _add_comparisons(commands: argparse._SubParsersAction) -> None:
    """The two commands and their options."""
    command = commands.add_parser(
        "compare", help="say whether HEAD is better than BASE, on which images, and what did it"
    )
    command.add_argument("base", metavar="BASE", help="a revision of git, or an experiment of DVC")
    command.add_argument("head", nargs="?", metavar="HEAD", help="the same; the work tree where it is left out")
    command.add_argument("--margin", type=_fraction, default=0.0, metavar="M", help="say 'not worse' within this loss")
    command.add_argument(
        "--seeds", type=int, metavar="K", help="train both recipes with K other seeds, and compare those"
    )
    command.add_argument(
        "--attribute", action="store_true", help="run BASE and HEAD mixed: was it data, params or code?"
    )
    output = command.add_mutually_exclusive_group()
    output.add_argument("--markdown", action="store_true", help="print what a pull request shows, 30 lines at most")
    output.add_argument("--json", action="store_true", help="print all of it as JSON")
    command.add_argument(
        "--html", metavar="FILE", help="write all of it as one page, with the images that changed sides"
    )
    command.add_argument("--max-drop", type=_fraction, metavar="X", help="exit 1 where accuracy falls by more")
    command.add_argument(
        "--class-max-drop", type=_fraction, metavar="X", help="exit 1 where the accuracy of a class falls by more"
    )
    command.add_argument("--require-better", action="store_true", help="exit 1 where the verdict is not 'better'")
    command.add_argument("--same-exam", action="store_true", help="exit 1 where test images or labels differ")
    command = commands.add_parser("noise", help="train this recipe with other seeds, to know what a seed changes")
    command.add_argument("--runs", type=int, default=5, metavar="N", help="how many other seeds (%(default)s)")


def _add_search(commands: argparse._SubParsersAction) -> None:
    """The command and its options."""
    command = commands.add_parser("search", help="look for better params on train and val, and confirm what is found")
    command.add_argument("space", metavar="SPACE", help="a file of keys and what to try, such as spaces/default.yaml")
    command.add_argument(
        "--budget", type=_positive, required=True, metavar="N", help="epochs' worth of images, of each search"
    )
    command.add_argument(
        "--method", choices=["tpe", "nsga2", "evolution", "random"], default="tpe",
        help="beside which random search gets as much (%(default)s)",
    )  # fmt: skip
    command.add_argument("--repeats", type=_positive, default=3, metavar="R", help="searches a method (%(default)s)")
    command.add_argument("--seed", type=int, default=0, metavar="S", help="of the searches (%(default)s)")
    command.add_argument("--jobs", type=_positive, default=1, metavar="J", help="trials at once (%(default)s)")
    command.add_argument("--halving", action="store_true", help="end a trial early that is behind at epochs 2, 6, 18")
    command.add_argument(
        "--against", choices=["parameters", "multiply_adds"], default="parameters",
        help="what the Pareto front, and nsga2, hold accuracy against (%(default)s)",
    )  # fmt: skip
    command.add_argument(
        "--confirm", type=_positive, default=3, metavar="K", help="new seeds of each of the best three (%(default)s)"
    )
    command.add_argument(
        "--file", default="metrics/search.jsonl", metavar="FILE", help="of the trials; it is gone on with (%(default)s)"
    )
    command.add_argument("--latency", action="store_true", help="time the front's networks as TFLite, on this machine")
    command.add_argument("--apply", action="store_true", help="put the winner into params.yaml, if it is better there")
    command.add_argument(
        "--queue", type=_positive, default=0, metavar="K", help="queue the best K for `dvc queue start`, up to train"
    )


def _add_shipping(commands: argparse._SubParsersAction) -> None:
    """The commands on what ships."""
    command = commands.add_parser("verify", help="run an export's own test: its bytes, its pixels, each file's answers")
    command.add_argument("export", nargs="?", default="export", metavar="DIR", help="the folder (%(default)s)")
    command = commands.add_parser("lineage", help="say which commit, params and data made a file, or used an image")
    what = command.add_mutually_exclusive_group(required=True)
    what.add_argument("file", nargs="?", metavar="FILE", help="an exported file, or a folder of them")
    what.add_argument("--image", metavar="ID|PATH", help="an image, by its file, its path in the data or its md5")


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected an integer from 1, got {text!r}")
    return int(text)


def _fraction(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, such as 0.01, got {text!r}")
    return value
