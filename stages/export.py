"""Write the files to ship, and prove on the test images that they predict what the calibrated model does.

$ python -m stages.export models metrics/calibration.json data/processed/test export metrics/export.json
"""

import sys

from heldout.core import atomic, code, params
from heldout.data import images, manifest, shards
from heldout.evaluation import predictions
from heldout.export import calibrate, export, predict
from heldout.networks import tokenizer


def main(model_folder: str, calibration_json: str, test: str, folder: str, export_json: str) -> None:
    """Write export/ and the largest difference of each of its files from the model."""
    code.check(__file__)
    params.check_versions("tensorflow", "keras", "ai-edge-litert")
    settings = params.section("export", export.export)
    preprocess = params.section("preprocess", images.decode_and_resize)
    calibration = calibrate.read(calibration_json)
    trained, class_names = predictions.load_model(model_folder)
    model = calibrate.calibrate(trained, calibration["temperature"])
    text, images_of_test = predictions.load_text(model_folder), shards.Images(test)
    fingerprint = manifest.fingerprint(manifest.read(f"{test}/{shards.ROWS}"))
    description = {"class_names": class_names, "preprocess": preprocess, **calibration, "test_fingerprint": fingerprint}
    description |= {"text": text | {"examples": tokenizer.examples(**text)}} if text else {}
    with atomic.replacing_folder(folder) as partial:
        report = export.export(model, partial, images_of_test, tokenizer.tokens_of(images_of_test, text), **settings)
        atomic.write_text(partial / "labels.txt", "".join(f"{name}\n" for name in class_names))
        atomic.write_json(partial / predict.DESCRIPTION, description)
    atomic.write_metrics(export_json, export.metrics(report), digits=12)
    for name, parity in report.items():
        difference = f"max difference {parity.max_abs_difference:.0e}"
        changed = f"{parity.changed_predictions} of {parity.images} predictions changed"
        print(f"export: {export.FILES[name]}, {parity.bytes:,} bytes, {difference}, {changed}")
    print(f"export: temperature {calibration['temperature']:g}, unsure below {calibration['threshold']:g}")


if __name__ == "__main__":
    main(*sys.argv[1:])
