"""The stage pretrain in a real DVC repository: absent where it is off, a start for train where it is on."""

import json
import sys

import pytest
from conftest import change, execute, stages_run, write_image

DATA = {
    "data": {"dir": "data/raw", "on_conflict": "keep", "unlabelled": "more"},
    "pretrain": {"epochs": 1, "batch_size": 8, "projection_units": [8, 4]},
    "train": {"epochs": 1},
}


@pytest.mark.slow
def test_off_there_is_no_stage_and_on_train_starts_from_its_encoder(project):
    for kind, name in enumerate(("cat", "dog", "more")):
        for number in range(12):
            write_image(project / "data/raw" / name / f"{number}.jpg", 100 * kind + number)
    change(project, DATA)

    def heldout(*arguments: str, expect: int = 0) -> str:
        return execute(sys.executable, "-m", "heldout", *arguments, cwd=project, expect=expect).stdout

    assert "pretrain" not in execute("dvc", "stage", "list", cwd=project).stdout
    assert "pretrain@" not in execute("dvc", "repro", "train", cwd=project).stdout
    off = (project / "models/model.weights.h5").read_bytes()
    assert stages_run(execute("dvc", "repro", "train", cwd=project).stdout) == []
    statistics = json.loads((project / "metrics/data.json").read_text("utf-8"))
    assert (statistics["unlabelled_images"], statistics["unlabelled_in_pool"]) == (12, 12)

    suggested = heldout("suggest", "--n", "3", "--method", "k_center").splitlines()
    assert suggested[0] == "path,predicted,confidence,margin" and len(suggested) == 4
    assert all(line.startswith("data/raw/more/") for line in suggested[1:])

    heldout("recipe", "simclr", "pretrain.epochs=1", "transfer.frozen=true")
    output = execute("dvc", "repro", "train", cwd=project).stdout
    assert stages_run(output) == ["pretrain@simclr", "train"]
    assert "12 of them without a label" in output
    description = json.loads((project / "models/encoder/encoder.json").read_text("utf-8"))
    assert description["images"] == statistics["unlabelled_in_pool"] + statistics["train"]
    on = (project / "models/model.weights.h5").read_bytes()
    assert on != off and stages_run(execute("dvc", "repro", "train", cwd=project).stdout) == []

    # Half set: the encoder that is left on the disk is of another network, and the doctor says what to do.
    change(project, {"pretrain": {"methods": []}, "model": {"filters": [8, 16, 8]}})
    assert "pretrain.methods is [], so no stage writes it" in heldout("doctor", expect=1)
    output = execute("dvc", "repro", "train", cwd=project, expect=255).stdout
    assert "was pretrained with model.filters [8, 16, 16], but it is [8, 16, 8] here" in output

    change(project, {"model": {"filters": [8, 16, 16]}, "transfer": {"frozen": False, "start": "pretrained"}})
    output = execute("dvc", "repro", "train", cwd=project).stdout
    assert stages_run(output) == [] and (project / "models/model.weights.h5").read_bytes() == off
