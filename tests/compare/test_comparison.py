"""Two revisions of a real repository: the exam, the verdict, the images, the causes, the gates, and the outputs."""

import hashlib
import json
import re
import subprocess

import pytest
from conftest import execute, write_image
from revisions_of import commit, repository, table, write
from scipy import stats

from heldout.compare import comparison, gates, revisions
from heldout.compare.comparison import Comparison
from heldout.compare.report import html, outputs

RIGHT = "aaaaabbbbbccccc" * 4
BASE = RIGHT[:40] + "a" * 20  # of the last 20, five are right
HOSTILE = "<b>|`x`![i](http://h)<!-- @team"


@pytest.fixture
def folder(tmp_path):
    """Tagged `base`: 45 of 60 right. The work tree is the same."""
    made = repository(tmp_path / "repository")
    write(made, table(BASE))
    commit(made, "base")
    return made


def compare(folder, **settings) -> Comparison:
    return comparison.compare(revisions.read("base", folder), revisions.read(None, folder), root=folder, **settings)


def test_the_same_predictions(folder):
    compared = compare(folder)
    assert compared.exam.is_same and len(compared.images) == 0 and compared.causes.empty
    line = "no difference: both sides have the same trained model, accuracy 0.7500 on 60 common test images"
    assert comparison.verdict(compared) == line


def test_whether_another_seed_would_give_as_much_is_unknown_where_nobody_measured_it(folder):
    write(folder, table(RIGHT), seed=1)
    assert comparison.verdict(compare(folder)).endswith(
        "unknown: there is no metrics/noise.json (`heldout noise --runs 5`)"
    )


def test_a_better_model_and_what_did_it(folder):
    write(folder, table(RIGHT), epochs=5, code="2", images="6")
    compared = compare(folder)
    assert comparison.verdict(compared).startswith("better: accuracy 0.7500 to 1.0000 (+0.2500 [+")
    assert compared.images["change"].tolist() == ["fixed"] * 15
    assert compared.causes[["kind", "name", "base", "head", "stages"]].to_numpy().tolist() == [
        ["params", "train.epochs", 3, 5, ["train"]],
        ["code", "train", "1", "2", ["train"]],
        ["data", "data/raw", "5", "6", ["index"]],
    ]
    assert list(compared.outputs) == ["index", "train", "evaluate"]
    fixed = compared.confusions.set_index(["label", "predicted"])["change"].to_dict()
    assert fixed == {("c", "a"): -10, ("b", "a"): -5}


def test_a_relabelled_test_is_no_worse_model(folder):
    """Ten labels of the exam were changed, and the same model counts as wrong there: no verdict of "worse" on it."""
    labels = "c" * 5 + RIGHT[5:]
    write(folder, table(BASE, labels))
    compared = compare(folder)
    assert len(compared.exam.relabelled) == 5 and not compared.exam.is_same
    assert comparison.verdict(compared).startswith("no difference: both sides have the same trained model")
    assert "5 relabelled" in outputs.text(compared, [])
    assert next(gates.failures(compared, same_exam=True)).startswith(
        "--same-exam: 0 test images were added, 0 removed, 5"
    )


def test_too_small_an_overlap_gets_no_verdict(folder):
    other = table(RIGHT)
    other.loc[20:, "id"] = [f"new {number}" for number in range(40)]
    write(folder, other)
    compared = compare(folder)
    assert comparison.verdict(compared).startswith("no verdict: the exams share 20 of 60 images under the same label")
    assert [len(compared.exam.added), len(compared.exam.removed)] == [40, 40]
    assert "no verdict" in outputs.markdown(compared, [])
    assert next(gates.failures(compared, max_drop=0.5)).startswith("no bar can be judged: no verdict")


def test_not_worse_within_a_margin(folder):
    write(folder, table(BASE), seed=1)
    assert comparison.verdict(compare(folder, margin=0.2)).startswith("not worse: ")
    assert "not shown to be within the margin of 0.001" in comparison.verdict(compare(folder, margin=0.001))


def test_gates_say_by_how_much(folder):
    write(folder, table("b" * 5 + BASE[5:]))
    lines = list(gates.failures(compare(folder), max_drop=0.05, class_max_drop=0.1, require_better=True))
    assert lines == [
        "--max-drop 0.05: accuracy fell by 0.0833, 0.0333 more than allowed",
        "--class-max-drop 0.1: the accuracy of a fell by 0.2500 (1.0000 -> 0.7500, 20 images)",
        "--require-better: the verdict is no detectable difference (-0.0833, p = 0.062)",
    ]
    assert not list(gates.failures(compare(folder), max_drop=0.09, class_max_drop=0.25, same_exam=True))


def test_noise_of_this_recipe_and_of_another(folder):
    from heldout.compare import noise

    write(folder, table(RIGHT), epochs=5)
    digest = noise.recipe_digest(revisions.read(None, folder))
    measured = {"recipe": digest, "runs": 3, "accuracy_sd": 0.1}
    (folder / noise.NOISE_JSON).write_text(json.dumps(measured))
    assert "no more than another seed would give (± 0.6085, from 3 other seeds)" in comparison.verdict(compare(folder))
    (folder / noise.NOISE_JSON).write_text(json.dumps(measured | {"accuracy_sd": 0.001, "runs": 9}))
    assert "; more than another seed would give (± 0.0033, from 9 other seeds)" in comparison.verdict(compare(folder))
    (folder / noise.NOISE_JSON).write_text(json.dumps(measured | {"recipe": "other"}))
    assert "unknown: metrics/noise.json is of another recipe" in comparison.verdict(compare(folder))
    # An edit of the code that gave the same predictions with the same seed made no other recipe.
    same = measured | {"recipe": "other", "predictions": noise.predictions_md5(revisions.read("base", folder))}
    (folder / noise.NOISE_JSON).write_text(json.dumps(same))
    assert "from 3 other seeds" in comparison.verdict(compare(folder))


def test_the_recipe_is_all_but_the_seed(folder):
    from heldout.compare import noise

    first = noise.recipe_digest(revisions.read(None, folder))
    write(folder, table(RIGHT), seed=7)
    assert noise.recipe_digest(revisions.read(None, folder)) == first
    for changed in ({"epochs": 4}, {"code": "2"}, {"images": "6"}):
        write(folder, table(RIGHT), **changed)
        assert noise.recipe_digest(revisions.read(None, folder)) != first


def test_slices_are_tested_with_the_classes(folder):
    """All that broke is dark: of the classes none differs once corrected, of the slices that one does."""
    dark = [["bright", "dark"][number % 5 == 0] for number in range(60)]
    broken = "".join("x" if side == "dark" else letter for letter, side in zip(RIGHT, dark, strict=True))
    write(folder, table(RIGHT, slice_brightness=dark))
    commit(folder, "slices")
    write(folder, table(broken, slice_brightness=dark))
    compared = comparison.compare(revisions.read("slices", folder), revisions.read(None, folder), root=folder)
    first = compared.subsets.iloc[0]
    assert [first["cut"], first["value"], first["broken"]] == ["brightness", "dark", 12]
    assert compared.subsets["cut"].tolist().count("class") == 3 and len(compared.subsets) == 5
    assert "brightness dark 1.000 to 0.000" in outputs.markdown(compared, [])
    # A side of an older heldout has no slices: those of the other count.
    older = comparison.compare(revisions.read("base", folder), revisions.read(None, folder), root=folder)
    assert set(older.subsets["cut"]) == {"class", "brightness"}


def test_confusions_are_tested_with_the_rest(folder):
    """Ten images of c are no longer taken for a: 2 / 2^10; the five of b are too few to be tested."""
    write(folder, table(RIGHT))
    compared = compare(folder)
    confusions = compared.confusions.set_index(["label", "predicted"])
    assert confusions.loc[("c", "a"), "p_value"] == pytest.approx(2 / 2**10)
    assert confusions.loc[("b", "a")][["change", "p_value"]].isna().tolist() == [False, True]
    p_values = [*compared.subsets["p_value"].dropna(), *compared.confusions["p_value"].dropna()]
    q_values = [*compared.subsets["q_value"].dropna(), *compared.confusions["q_value"].dropna()]
    assert q_values == pytest.approx(stats.false_discovery_control(p_values))


def test_a_side_of_before_has_no_ranks(folder):
    older = table(BASE).drop(columns="label_rank")
    write(folder, older)
    compared = compare(folder)
    assert comparison.verdict(compared).startswith("no difference: ")
    assert not any("top" in name for name in compared.metrics["metric"])
    write(folder, older.drop(columns="confidence"))
    with pytest.raises(
        ValueError, match=r"predictions.csv of the work tree lacks the column confidence: run `dvc repro`"
    ):
        compare(folder)


def test_an_image_in_two_classes_is_matched_by_both(folder):
    """split.on_conflict: keep leaves the same bytes under two labels."""
    twice = table(BASE)
    twice.loc[20, "id"] = twice.loc[0, "id"]  # labelled a and b
    write(folder, twice)
    commit(folder, "twice")
    compared = comparison.compare(revisions.read("twice", folder), revisions.read(None, folder), root=folder)
    assert compared.exam.is_same and len(compared.exam.common) == 60


def test_markdown_is_thirty_lines_at_most_whatever_the_classes_are_called(folder):
    labels = [f"{HOSTILE} {number // 20}" for number in range(4000)]
    base = table("a" * 4000, "a" * 4000).assign(label=labels, predicted=labels)
    write(folder, base)
    commit(folder, "many")
    wrong = base.assign(
        predicted=[labels[(number + 20) % 4000] if number % 3 else labels[number] for number in range(4000)]
    )
    write(folder, wrong, epochs=9)
    compared = comparison.compare(revisions.read("many", folder), revisions.read(None, folder), root=folder)
    failures = list(gates.failures(compared, max_drop=0.01, class_max_drop=0.01, same_exam=True))
    text = outputs.markdown(compared, failures)
    assert len(text.splitlines()) <= 26 and len(text) < 60_000
    assert "<b>" not in text and "@team" not in text and "![i]" not in text and text.count("<!--") == 1
    for line in text.splitlines():
        if line.startswith("| ") and "---" not in line:
            assert line.replace("\\|", "").count("|") == 6  # no cell more


def test_the_page_is_escaped_and_asks_for_nothing(folder, monkeypatch):
    monkeypatch.chdir(folder)
    base = table(BASE)
    hostile = {"a": HOSTILE, "b": "</style><script>", "c": "\u202etxet"}
    for name in ("label", "predicted"):
        base[name] = base[name].map(hostile)
    write(folder, base)
    commit(folder, "hostile")
    write(folder, base.assign(predicted=base["label"], label_rank=1))
    write_image(folder / base["path"][40], 7)  # whose bytes are not those of its id: no picture
    compared = comparison.compare(revisions.read("hostile", folder), revisions.read(None, folder), root=folder)
    text = html.page(compared, ["--max-drop <i>"])
    assert "better" in text and "15 fixed" in text and "&lt;b&gt;" in text
    assert "<b>" not in text and "<script" not in text and "<i>" not in text and text.count("<style>") == 1
    assert not re.search(r"(src|href)=.(?!data:|#)", text) and "<img" not in text


def test_the_page_shows_images_that_are_here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    write_image(folder / "data/raw/40.jpg", 7)
    content = (folder / "data/raw/40.jpg").read_bytes()
    known = table(BASE)
    known.loc[40, "id"] = hashlib.md5(content, usedforsecurity=False).hexdigest()
    write(folder, known)
    commit(folder, "known")
    write(folder, known.assign(predicted=known["label"], label_rank=1))
    compared = comparison.compare(revisions.read("known", folder), revisions.read(None, folder), root=folder)
    assert html.page(compared, []).count('<img src="data:image/') == 1


def test_json_has_all_of_it(folder):
    write(folder, table(RIGHT), epochs=5)
    values = json.loads(outputs.as_json(compare(folder), ["x"]))
    assert values["models"]["word"] == "better" and values["failures"] == ["x"] and values["exam"]["common"] == 60
    assert len(values["images"]) == 15 and values["causes"][0]["name"] == "train.epochs"


def test_a_stale_lock_is_refused(folder):
    (folder / "params.yaml").write_text("seed: 0\ntrain: {epochs: 4}\nevaluate: {top_k: 5}\n")
    with pytest.raises(ValueError, match=r"dvc\.lock of the work tree is stale \(train\)"):
        revisions.read(None, folder)
    write(folder, table(RIGHT))
    (folder / "metrics/eval.json").write_text('{"accuracy": 1.0}\n')
    with pytest.raises(ValueError, match=r"stale \(evaluate\)"):
        revisions.read(None, folder)


@pytest.mark.parametrize(
    ("missing", "line"),
    [("dvc.lock", "has no dvc.lock: run `dvc repro`"), ("metrics/predictions.csv", "has no metrics/predictions.csv")],
)
def test_what_is_missing_is_one_line(folder, missing, line):
    (folder / missing).unlink()
    with pytest.raises(ValueError, match=f"the work tree {line}"):
        revisions.read(None, folder)


def test_an_unknown_revision_and_a_shallow_clone(folder, tmp_path):
    with pytest.raises(ValueError, match="got nothing, which git does not know"):
        revisions.read("nothing", folder)
    write(folder, table(RIGHT))
    commit(folder, "second")
    execute("git", "clone", "-q", "--depth", "1", folder.as_uri(), str(tmp_path / "shallow"), cwd=tmp_path)
    with pytest.raises(ValueError, match="base is not in this shallow clone"):
        revisions.read("base", tmp_path / "shallow")
    with pytest.raises(ValueError, match="expected a git repository"):
        revisions.read("base", tmp_path)


def test_an_experiment_is_named_as_dvc_names_it(folder):
    write(folder, table(RIGHT))
    commit(folder, "tried")
    execute("git", "update-ref", "refs/exps/ab/cdef/fuzzy-cat", "tried", cwd=folder)
    execute("git", "tag", "-d", "tried", cwd=folder)
    assert (revisions.read("fuzzy-cat", folder).predictions["predicted"] == list(RIGHT)).all()


def test_the_command_ends_1_at_a_gate_and_at_a_refusal(folder):
    write(folder, table("b" * 15 + BASE[15:]))
    command = ["heldout", "compare", "base", "--markdown", "--max-drop", "0.01"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout.startswith(outputs.MARKER)
    assert "heldout: --max-drop 0.01: accuracy fell by" in done.stderr
    assert subprocess.run(["heldout", "compare", "base"], cwd=folder, capture_output=True).returncode == 0
    done = subprocess.run(["heldout", "compare", "nothing"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
