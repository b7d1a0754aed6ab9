"""Write the page that shows what the other stages found, for a person to read and forward; no TensorFlow.

$ python -m stages.report . params.yaml env.yaml src/heldout/evaluation/report/template report/index.html plots
"""

import sys
from pathlib import Path

from heldout.core import code, params
from heldout.data import shards
from heldout.evaluation.report import inputs, report


def main(root: str, params_yaml: str, env_yaml: str, template: str, html: str, plots: str) -> None:
    """Write one page without a request, and the sheets of mistakes and of labels in doubt."""
    code.check(__file__)
    params.check_versions("jinja2", "matplotlib", "numpy", "pillow")
    settings = params.section("report", report.write)
    pixels = {split: shards.Images(Path(root, "data/processed", split)) for split in ("val", "test")}
    report.write(inputs.read(root, params_yaml, env_yaml), pixels, template, html, plots, **settings)
    print(f"report: {html}, {Path(html).stat().st_size:,} bytes: open it in a browser")


if __name__ == "__main__":
    main(*sys.argv[1:])
