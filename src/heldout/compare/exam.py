"""Whether two revisions sat the same exam: their test images and labels, one by one."""

from typing import NamedTuple

import pandas as pd

from heldout.compare.revisions import Revision

MIN_COMMON = 30  # images below which no verdict is given
MIN_OVERLAP = 0.5  # of the larger exam


class Exam(NamedTuple):
    """`common` has a row for each image that both sides were tested on under one label, with the columns id, label,
    path, group, and predicted, confidence, label_probability, label_rank of either side (`_base`, `_head`)."""

    common: pd.DataFrame
    added: pd.DataFrame
    removed: pd.DataFrame
    relabelled: pd.DataFrame
    classes_added: list[str]
    classes_removed: list[str]

    @property
    def is_same(self) -> bool:
        return not (len(self.added) + len(self.removed) + len(self.relabelled))

    @property
    def is_enough(self) -> bool:
        """Whether what both have is enough for a verdict."""
        largest = len(self.common) + len(self.relabelled) + max(len(self.added), len(self.removed))
        return len(self.common) >= max(MIN_COMMON, MIN_OVERLAP * largest)


def match(base: Revision, head: Revision) -> Exam:
    """The images of two revisions' tests, by id."""
    left, right = base.predictions, head.predictions
    both = left.merge(right, on="id", suffixes=("_base", "_head"), validate="one_to_one")
    same = both["label_base"] == both["label_head"]
    common = both[same].rename(columns={"label_head": "label", "path_head": "path", "group_head": "group"})
    return Exam(
        common=common.drop(columns=["label_base"]).reset_index(drop=True),
        added=right[~right["id"].isin(left["id"])],
        removed=left[~left["id"].isin(right["id"])],
        relabelled=both[~same],
        classes_added=[name for name in head.class_names if name not in set(base.class_names)],
        classes_removed=[name for name in base.class_names if name not in set(head.class_names)],
    )
