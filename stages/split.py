"""Hold out images for validation and test.

$ python -m stages.split data/index.csv data/splits data/classes.txt metrics/data.json plots/split.png
"""

import sys

from heldout import atomic, charts, manifest, params, split


def main(index_csv: str, folder: str, classes_txt: str, data_json: str, plot: str) -> None:
    """Write one manifest a split, the class names, and how the images spread over both."""
    index = manifest.read(index_csv)
    splits = split.assign(index, **params.section("split", split.assign))
    for name in split.SPLITS:
        manifest.write(index[splits == name][["id", "path", "label"]], f"{folder}/{name}.csv")
    counts = split.table(index["label"], splits)
    atomic.write_text(classes_txt, "".join(f"{label}\n" for label in counts.index))
    far = split.far_classes(counts)
    atomic.write_json(data_json, split.summary(counts, far))
    charts.class_by_split(counts, plot)
    print(counts.to_string())
    print("split: " + ", ".join(f"{counts[name].sum()} {name}" for name in split.SPLITS) + " images", end="; ")
    print(f"far from their share: {', '.join(far)}" if far else "no class is far from its share")


if __name__ == "__main__":
    main(*sys.argv[1:])
