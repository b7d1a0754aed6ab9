"""The page as text: the same bytes again, small enough, every text escaped, a line where there is nothing to say."""

import hashlib
import re

import numpy as np
import pandas as pd
import pytest
import report_inputs
from conftest import ROOT

from heldout.data import shards
from heldout.evaluation.report import figures, inputs, page, report, sections
from heldout.evaluation.report.thumbnails import thumbnail

TEMPLATE = ROOT / "src/heldout/evaluation/report/template"


def write(root, images=24) -> str:
    """The page of a folder of inputs."""
    read = inputs.read(root, root / "params.yaml", root / "env.yaml")
    pixels = {split: shards.Images(root / "data/processed" / split) for split in ("val", "test")}
    report.write(read, pixels, TEMPLATE, root / "report/index.html", root / "plots", images=images)
    return (root / "report/index.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return report_inputs.write(tmp_path_factory.mktemp("report"))


def test_the_same_inputs_give_the_same_bytes(root):
    first = write(root)
    sheets = [(root / f"plots/{name}.png").read_bytes() for name in ("mistakes", "suspects")]
    assert write(root) == first
    assert [(root / f"plots/{name}.png").read_bytes() for name in ("mistakes", "suspects")] == sheets


def test_the_verdict_is_the_first_thing_that_it_says(root):
    scores = inputs.read(root, root / "params.yaml", root / "env.yaml").numbers["eval"]
    assert sections.verdict(scores) == "0.779 [0.723, 0.827] of 240 images"
    assert write(root).index("0.779 [0.723, 0.827] of 240 images") < 1000


def test_a_page_names_nothing_outside_itself(root):
    html = write(root)
    assert not re.findall(r"""(?:src|href|action|data)=["'](?!data:|#)""", html)
    assert "://" not in html and "@import" not in html


def test_names_are_escaped_and_no_template_of_their_own(root):
    html = write(root)
    outside = re.sub(r"<(style|script)>.*?</\1>", "", html, flags=re.DOTALL)
    assert (
        "<script" not in outside and "<img src=x" not in outside and "49" not in re.findall(r"<bdi[^>]*>(\d+)<", html)
    )
    for name in ("&lt;script&gt;alert(1)&lt;/script&gt;", "{{ 7 * 7 }}", "a|b`c`", "\u202egnp.exe", "NA", "007"):
        assert f">{name}</bdi>" in html, name


def test_the_weights_are_named_by_the_md5_that_dvc_lock_holds(root):
    digest = hashlib.md5(b"weights").hexdigest()
    assert f"git log -S {digest} -- dvc.lock" in write(root)


@pytest.mark.slow
def test_ten_thousand_images_and_a_thousand_classes_take_three_megabytes_at_most(tmp_path):
    report_inputs.write(tmp_path, num_classes=1000, images=10_000, side=64)
    assert len(write(tmp_path).encode()) < 3e6


def test_one_image_and_nothing_optional_say_so_in_a_line_each(tmp_path):
    report_inputs.write(tmp_path, num_classes=2, images=2, errors=0, optional=False)
    html = write(tmp_path)
    assert len(re.findall('class="nothing"', html)) == 9
    for line in ("No label is in doubt.", "No test image was predicted wrong.", "No heat map was drawn."):
        assert line in html


@pytest.mark.parametrize("images", [1, 100])
def test_galleries_show_no_more_than_params_say(root, images):
    write(root, images)
    html = write(root, images)
    gallery = html.split('id="mistakes"')[1].split("</section>")[0]
    assert gallery.count("<figcaption>") == min(images, 53)
    assert f"{min(images, 53)} of 53 mistakes" in gallery


def test_the_most_confident_mistake_comes_first(root):
    table = inputs.table(root / "metrics/predictions.csv")
    shown = figures.mistakes(table, shards.Images(root / "data/processed/test"), 3)
    wrong = table[table["label"] != table["predicted"]].sort_values("confidence", ascending=False)
    assert [figure.path for figure in shown] == wrong["path"].tolist()[:3]
    assert shown[0].notes == [f"confidence {wrong['confidence'].iloc[0]:.3f}"]


def test_explanations_take_turns_by_reason(tmp_path):
    ids = [f"{number:032x}" for number in range(6)]
    table = pd.DataFrame({"id": ids, "label": "a", "predicted": "b", "reason": ["one"] * 5 + ["two"]})

    table.to_csv(tmp_path / "images.csv", index=False)
    np.save(tmp_path / "images-00000.npy", np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones(3, np.uint8))
    images = shards.Images(tmp_path)
    shown = figures.explanations(table, np.ones((6, 2, 2), np.uint8), {}, images, 3)
    assert [figure.notes[0] for figure in shown] == ["one", "one", "two"]
    assert [int(figure.pictures[0][0, 0, 0]) for figure in shown] == [0, 1, 5]
    (first,) = figures.explanations(table, np.zeros((6, 2, 2), np.uint8), {}, images, 1)
    assert first.notes == ["one; no part speaks for the class"]


def test_a_name_in_an_attribute_is_isolated():
    assert page.isolated("\u202ex") == "\u2068\u202ex\u2069"


def test_small_pictures_are_kept_to_the_pixel_and_large_ones_are_small():
    noise = np.random.default_rng(0).integers(0, 256, (300, 200, 1), np.uint8)
    assert thumbnail(noise[:28, :28]).startswith("data:image/png") and thumbnail(noise).startswith("data:image/jpeg")
    assert len(thumbnail(np.full((500, 500, 3), 7, np.uint8))) < 2000


def test_a_table_keeps_names_as_text_and_says_what_is_damaged(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("label,f1,f1_low\nNA,,0.5\n007,1,\n", "utf-8")
    table = inputs.table(path)
    assert table["label"].tolist() == ["NA", "007"] and table["f1"].isna().tolist() == [True, False]
    path.write_text("label,f1\na,x\n", "utf-8")
    with pytest.raises(ValueError, match=r"table.csv is damaged \(could not convert string to float: 'x'\): run"):
        inputs.table(path)


def test_leaks_and_files_left_out_are_told():
    numbers = {"leaks_groups": 3, "leaks_identical_images": 0, "groups": 1, "problems_stray": 2}
    assert "3 by groups" in sections.leak_lines(numbers)[0]
    rows = sections.left_out(numbers, pd.DataFrame({"kind": ["stray"], "path": ["a.txt"], "reason": ["is text"]}))
    assert rows == [{"count": "2", "words": "are no images", "path": "a.txt", "reason": "is text"}]


def test_what_ships_is_told_with_its_accuracy_where_it_is_known():
    known = {"onnx_max_abs_difference": 4.9e-07, "onnx_changed_predictions": 3, "onnx_bytes": 1448472}
    row = {"name": "onnx", "bytes": "1,448,472", "difference": "5e-07", "changed": "3", "accuracy": ""}
    assert sections.shipped(known) == [row]
    ends = {"": -0.003, "_low": -0.008, "_high": 0.002}
    known |= {f"onnx_accuracy_difference{end}": value for end, value in ends.items()}
    assert sections.shipped(known) == [row | {"accuracy": "-0.0030 [-0.0080, +0.0020]"}]
