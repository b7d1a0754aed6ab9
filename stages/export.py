"""Write the files to ship, and prove on the test images that they give the calibrated predictions that were scored.

$ python -m stages.export models data/processed/test data/predictions/test metrics export
"""

import json
import sys
from pathlib import Path

from heldout.core import atomic, code, params
from heldout.data import images, shards
from heldout.evaluation import calibration, predictions, probabilities
from heldout.export import export, predict
from heldout.networks import build


def main(model_folder: str, pixels: str, predicted: str, metrics: str, folder: str) -> None:
    """Write export/ and the largest difference of each of its files from what was scored."""
    code.check(__file__)
    params.check_versions("tensorflow", "keras", "ai-edge-litert", "numpy")
    settings = params.section("export", export.export)
    preprocess = params.section("preprocess", images.decode_and_resize)
    fitted, data = (json.loads(Path(metrics, f"{name}.json").read_text("utf-8")) for name in ("calibration", "data"))
    model, class_names = predictions.load_model(model_folder)
    build.scale_logits(model, fitted["temperature"])
    scored = calibration.rescale(probabilities.read(predicted).values, fitted["temperature"])
    with atomic.replacing_folder(folder) as partial:
        report = export.export(model, partial, shards.Images(pixels), scored, **settings)
        atomic.write_text(partial / "labels.txt", "".join(f"{name}\n" for name in class_names))
        description = predict.description(class_names, preprocess, fitted, data["test_fingerprint"])
        atomic.write_json(partial / predict.DESCRIPTION, description)
    atomic.write_metrics(f"{metrics}/export.json", export.metrics(report), digits=12)
    for name, parity in report.items():
        difference = f"max difference {parity.max_abs_difference:.0e}"
        changed = f"{parity.changed_predictions} of {parity.images} predictions changed"
        print(f"export: {export.FILES[name]}, {parity.bytes:,} bytes, {difference}, {changed}")


if __name__ == "__main__":
    main(*sys.argv[1:])
