"""Write the files to ship, and score each on the test images beside the calibrated model.

$ python -m stages.export models metrics/calibration.json data/splits/test.csv data/processed/train \
    data/processed/test metrics src/heldout/export/template export metrics/export.json
"""

import sys
from pathlib import Path

from heldout.core import atomic, code, params, process
from heldout.data import images, manifest, shards
from heldout.evaluation import predictions
from heldout.export import calibrate, exam, export, files, lineage, model_card, self_test, speed
from heldout.export.sources import Sources


def main(
    model_folder: str,
    calibration_json: str,
    test_csv: str,
    train: str,
    test: str,
    metrics: str,
    template: str,
    folder: str,
    export_json: str,
) -> None:
    """Write export/, how each of its files compares with the model, and, where git does not look, how fast it is."""
    code.check(__file__)
    params.check_versions("ai-edge-litert", "jinja2", "keras", "numpy", "opencv-python-headless", "pillow")
    params.check_versions("scipy", "tensorflow")
    settings = params.section("export", export.export)
    if "onnx" in settings["formats"]:
        params.check_versions("onnx", "onnxruntime", "tf2onnx")
    preprocess = params.section("preprocess", images.decode_and_resize)
    kit_settings, card = params.section("self_test", self_test.gather), params.section("card", model_card.write)
    calibration = calibrate.read(calibration_json)
    trained, class_names = predictions.load_model(model_folder)
    model = calibrate.calibrate(trained, calibration["temperature"])
    rows, text = manifest.read(test_csv), predictions.load_text(model_folder)
    test_exam = exam.read(shards.Images(test), rows, class_names, text)
    sources = [f"{model_folder}/model.weights.h5", f"{model_folder}/model.json", calibration_json, test_csv]
    description = lineage.describe(class_names, preprocess, calibration, text, rows, sources)
    facts = model_card.read(metrics, description)
    kit = self_test.gather(rows, preprocess, text, **kit_settings)
    with atomic.replacing_folder(folder) as partial:
        shipped = export.export(model, partial, test_exam, Sources(preprocess, shards.Images(train)), **settings)
        atomic.write_text(partial / "labels.txt", "".join(f"{name}\n" for name in class_names))
        atomic.write_json(partial / files.DESCRIPTION, description)
        model_card.write(partial, facts, shipped.parity, kit, Path(template), **card)
        runs = {name: files.load(name, partial / files.FILES[name]) for name in shipped.parity}
        self_test.write(partial, kit, model.predict_on_batch, runs, settings["tolerance"], Path(template))
    atomic.write_metrics(export_json, export.metrics(shipped), digits=12)
    atomic.write_json(process.dvc_folder("state") / speed.FILE, export.speeds(shipped))
    for line in export.lines(shipped, len(test_exam.labels)):
        print(f"export: {line}")
    print(f"export: temperature {calibration['temperature']:g}, unsure below {calibration['threshold']:g}")


if __name__ == "__main__":
    main(*sys.argv[1:])
