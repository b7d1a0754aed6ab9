"""Write the files to ship, and prove on the test images that they answer as the model does.

$ python -m stages.export models data/processed/test export metrics/export.json
"""

import sys

from heldout import atomic, export, images, measuring, params, predict


def main(model_folder: str, test: str, folder: str, export_json: str) -> None:
    """Write export/ and the largest difference of each of its files from the model."""
    params.installed("tensorflow", "keras", "ai-edge-litert")
    settings = params.section("export", export.write)
    preprocess = params.section("preprocess", images.prepare)
    model, names, pictures, _, probabilities = measuring.measure(model_folder, test)
    with atomic.replacing_folder(folder) as partial:
        report = export.write(model, partial, pictures, probabilities, **settings)
        atomic.write_text(partial / "labels.txt", "".join(f"{name}\n" for name in names))
        atomic.write_json(partial / predict.DESCRIPTION, {"class_names": names, "preprocess": preprocess})
    atomic.write_json(export_json, report, digits=12)
    for name, row in report.items():
        print(
            f"export: {export.FILES[name]}, {row['bytes']:,} bytes, differs by {row['largest_difference']:.0e} at most"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
