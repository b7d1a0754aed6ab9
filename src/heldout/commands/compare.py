"""`heldout compare BASE [HEAD]` and `heldout noise`: what they read, run and print."""

import argparse
import sys

from heldout.compare import attribution, comparison, gates, noise, revisions
from heldout.compare.report import html, outputs
from heldout.core import atomic


def compare(options: argparse.Namespace) -> int:
    """Print the comparison; 1 where a gate fails."""
    base, head = revisions.read(options.base), revisions.read(options.head)
    compared = comparison.compare(base, head, margin=options.margin)
    if options.seeds and compared.models:
        tested = noise.compare_seeds(base, head, compared.exam, options.seeds, report=_report)
        compared = compared._replace(recipes=tested, recipes_note=f"{options.seeds} other seeds of each recipe")
    if options.attribute:
        compared = compared._replace(attribution=attribution.attribute(base, head, report=_report))
    failures = list(
        gates.failures(
            compared,
            max_drop=options.max_drop,
            class_max_drop=options.class_max_drop,
            require_better=options.require_better,
            same_exam=options.same_exam,
        )
    )
    render = outputs.as_json if options.json else outputs.markdown if options.markdown else outputs.text
    print(render(compared, failures))
    if options.html:
        atomic.write_text(options.html, html.page(compared, failures))
    if options.json or options.markdown:
        for line in failures:
            print(f"heldout: {line}", file=sys.stderr)
    return 1 if failures else 0


def measure_noise(options: argparse.Namespace) -> int:
    """Train other seeds, and print what they have in common."""
    summary = noise.measure(revisions.read(None), options.runs)
    print(
        f"noise: accuracy {summary['accuracy_mean']:.4f} ± {summary['accuracy_sd']:.4f} (standard deviation) over "
        f"{summary['runs']} seeds; two seeds differ on {100 * summary['changed_predictions']:.1f} % of the predictions"
    )
    print(f"noise: written: {noise.NOISE_JSON}, {noise.NOISE_CSV}: commit them")
    return 0


def _report(line: str) -> None:
    """A run takes minutes, so its line goes to the terminal at once, and not into what is piped on."""
    print(line, file=sys.stderr, flush=True)
