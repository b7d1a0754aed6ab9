"""Write the files to ship, and score each on the test images beside the calibrated model.

$ python -m stages.export models metrics/calibration.json data/splits/test.csv data/processed/train \
    data/processed/test export metrics/export.json
"""

import sys

from heldout.core import atomic, code, params, process
from heldout.data import images, manifest, shards
from heldout.evaluation import predictions
from heldout.export import calibrate, exam, export, lineage, predict, speed
from heldout.export.sources import Sources
from heldout.networks import tokenizer


def main(
    model_folder: str, calibration_json: str, test_csv: str, train: str, test: str, folder: str, export_json: str
) -> None:
    """Write export/, how each of its files compares with the model, and, where git does not look, how fast it is."""
    code.check(__file__)
    params.check_versions("ai-edge-litert", "keras", "numpy", "scipy", "tensorflow")
    settings = params.section("export", export.export)
    if "onnx" in settings["formats"]:
        params.check_versions("onnx", "onnxruntime", "tf2onnx")
    preprocess = params.section("preprocess", images.decode_and_resize)
    calibration = calibrate.read(calibration_json)
    trained, class_names = predictions.load_model(model_folder)
    model = calibrate.calibrate(trained, calibration["temperature"])
    rows = manifest.read(test_csv)
    text = predictions.load_text(model_folder)
    test_exam = exam.read(shards.Images(test), rows, class_names, text)
    sources = Sources(preprocess, shards.Images(train))
    description = {"class_names": class_names, "preprocess": preprocess, **calibration}
    description |= {"test_fingerprint": manifest.fingerprint(rows)}
    description |= {"text": text | {"examples": tokenizer.examples(**text)}} if text else {}
    weights, model_json = f"{model_folder}/model.weights.h5", f"{model_folder}/model.json"
    description |= {"lineage": lineage.digests(weights, model_json, calibration_json, test_csv)}
    with atomic.replacing_folder(folder) as partial:
        shipped = export.export(model, partial, test_exam, sources, **settings)
        atomic.write_text(partial / "labels.txt", "".join(f"{name}\n" for name in class_names))
        atomic.write_json(partial / predict.DESCRIPTION, description)
    atomic.write_metrics(export_json, export.metrics(shipped), digits=12)
    atomic.write_json(process.dvc_folder("state") / speed.FILE, export.speeds(shipped))
    for line in export.lines(shipped, len(test_exam.labels)):
        print(f"export: {line}")
    print(f"export: temperature {calibration['temperature']:g}, unsure below {calibration['threshold']:g}")


if __name__ == "__main__":
    main(*sys.argv[1:])
