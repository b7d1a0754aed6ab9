"""Hold out images for validation and test.

$ python -m stages.split data/index.csv data/problems.csv data/splits data/classes.txt \
    metrics/data.json metrics/classes.csv plots/split.png
"""

import sys

from heldout.core import atomic, code, params
from heldout.data import manifest, split, statistics
from heldout.evaluation.plots.splits import class_by_split


def main(
    index_csv: str, problems_csv: str, folder: str, classes_txt: str, data_json: str, classes_csv: str, plot: str
) -> None:
    """Write one manifest a split, the class names, and statistics of the data and of what leaks."""
    code.check(__file__)
    params.check_versions("matplotlib")
    settings = params.section("split", split.assign)
    every = manifest.read(index_csv)
    index = every[every["label"] != ""]
    given = set(index["split"])
    splits, gap_fillers = split.assign(index, **settings)
    unlabelled = split.unlabelled(every, splits)
    further = index.columns[index.columns.get_loc("cluster") :]  # and those of the CSV beside the images
    optional = [name for name in ("group", "text") if (index[name] != "").any()]
    columns = ["id", "path", "label", *optional, "width", "height", "orientation", *further]
    index = index.assign(split=splits, fills_gap=gap_fillers).drop_duplicates(["id", "label", "split"])
    for name in split.SPLITS:
        manifest.write(index.loc[index["split"] == name, columns], f"{folder}/{name}.csv")
    manifest.write(unlabelled[columns], f"{folder}/unlabelled.csv")
    counts = split.class_counts(index["label"], index["split"])
    fractions = {name: settings[name] for name in ("val", "test") if name not in given}
    atomic.write_text(classes_txt, "".join(f"{label}\n" for label in counts.index))
    summary = statistics.summarize(index, index["split"], manifest.read(problems_csv))
    if len(index) < len(every):
        summary |= {"unlabelled_images": len(every) - len(index), "unlabelled_in_pool": len(unlabelled)}
        print(f"split: {len(unlabelled):,} of {len(every) - len(index):,} images without a label may be learned from")
    atomic.write_metrics(data_json, summary)
    manifest.write(counts.reset_index(names="label"), classes_csv)
    class_by_split(counts, plot)
    print("\n".join(statistics.describe(summary, counts, fractions, index[index["fills_gap"]])))


if __name__ == "__main__":
    main(*sys.argv[1:])
