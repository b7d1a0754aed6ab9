"""Write the files to ship, and prove on the test images that they predict what the model does.

$ python -m stages.export models data/processed/test export metrics/export.json
"""

import sys

from heldout.core import atomic, code, params
from heldout.data import images
from heldout.evaluation import predictions
from heldout.export import export, predict


def main(model_folder: str, test: str, folder: str, export_json: str) -> None:
    """Write export/ and the largest difference of each of its files from the model."""
    code.check(__file__)
    params.check_versions("tensorflow", "keras", "ai-edge-litert")
    settings = params.section("export", export.export)
    preprocess = params.section("preprocess", images.decode_and_resize)
    model, class_names, test_images, _, probabilities = predictions.predict_split(model_folder, test)
    with atomic.replacing_folder(folder) as partial:
        report = export.export(model, partial, test_images, probabilities, **settings)
        atomic.write_text(partial / "labels.txt", "".join(f"{name}\n" for name in class_names))
        atomic.write_json(partial / predict.DESCRIPTION, {"class_names": class_names, "preprocess": preprocess})
    atomic.write_metrics(export_json, export.metrics(report), digits=12)
    for name, parity in report.items():
        difference = f"max difference {parity.max_abs_difference:.0e}"
        changed = f"{parity.changed_predictions} of {parity.images} predictions changed"
        print(f"export: {export.FILES[name]}, {parity.bytes:,} bytes, {difference}, {changed}")


if __name__ == "__main__":
    main(*sys.argv[1:])
