"""Hold out images for validation and test.

$ python -m stages.split data/index.csv data/problems.csv data/splits data/classes.txt metrics/data.json plots/split.png
"""

import sys

from heldout import atomic, charts, manifest, overview, params, split


def main(index_csv: str, problems_csv: str, folder: str, classes_txt: str, data_json: str, plot: str) -> None:
    """Write one manifest a split, the class names, and what the data are and share."""
    settings = params.section("split", split.assign)
    index = manifest.read(index_csv)
    splits, filled = split.assign(index, **settings)
    given = set(index["split"])
    columns = ["id", "path", "label", *(name for name in ("group", "text") if (index[name] != "").any())]
    index = index.assign(split=splits, filled=filled).drop_duplicates(["id", "label", "split"])
    for name in split.SPLITS:
        manifest.write(index.loc[index["split"] == name, columns], f"{folder}/{name}.csv")
    counts = split.table(index["label"], index["split"])
    far = split.far_classes(counts, {name: settings[name] for name in ("val", "test") if name not in given})
    atomic.write_text(classes_txt, "".join(f"{label}\n" for label in counts.index))
    figures = overview.figures(index, index["split"], manifest.read(problems_csv))
    atomic.write_json(data_json, figures)
    charts.class_by_split(counts, plot)
    print("\n".join(overview.lines(figures, counts, far, index[index["filled"]])))


if __name__ == "__main__":
    main(*sys.argv[1:])
