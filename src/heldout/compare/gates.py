"""Bars that a pull request must clear: each that it does not is a line that says by how much."""

from collections.abc import Iterator

from heldout.compare import changes, comparison
from heldout.compare.comparison import Comparison
from heldout.evaluation.significance.paired_tests import small


def failures(
    compared: Comparison,
    *,
    max_drop: float | None = None,
    class_max_drop: float | None = None,
    require_better: bool = False,
    same_exam: bool = False,
) -> Iterator[str]:
    """The bars that HEAD does not clear.

    Args:
        compared: of `comparison.compare`.
        max_drop: the largest loss of accuracy on the common images.
        class_max_drop: the same for each class of changes.MIN_IMAGES images or more.
        require_better: whether the verdict on the two models must be "better".
        same_exam: whether test images, labels and classes must be the same.
    """
    if same_exam and not compared.exam.is_same:
        exam = compared.exam
        yield (
            f"--same-exam: {len(exam.added)} test images were added, {len(exam.removed)} removed, "
            f"{len(exam.relabelled)} relabelled"
        )
    if compared.models is None:
        if max_drop is not None or class_max_drop is not None or require_better:
            yield f"no bar can be judged: {comparison.verdict(compared)}"
        return
    drop = -compared.models.value
    if max_drop is not None and drop > max_drop:
        yield f"--max-drop {max_drop:g}: accuracy fell by {drop:.4f}, {drop - max_drop:.4f} more than allowed"
    if class_max_drop is not None:
        yield from _class_failures(compared, class_max_drop)
    word, p_value = comparison.word(compared.models), compared.models.p_value
    if require_better and word != "better":
        yield f"--require-better: the verdict is {word} ({compared.models.value:+.4f}, p {small(p_value)})"


def _class_failures(compared: Comparison, class_max_drop: float) -> Iterator[str]:
    subsets = compared.subsets
    classes = subsets[(subsets["cut"] == changes.CLASS) & (subsets["images"] >= changes.MIN_IMAGES)]
    drops = (classes["base"] - classes["head"]).to_numpy()
    fallen = classes.assign(drop=drops)[drops > class_max_drop].sort_values("drop", ascending=False, kind="stable")
    for row in fallen.itertuples():
        yield (
            f"--class-max-drop {class_max_drop:g}: the accuracy of {row.value} fell by {row.drop:.4f} "
            f"({row.base:.4f} -> {row.head:.4f}, {row.images} images)"
        )
