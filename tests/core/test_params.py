"""params.yaml: what is right passes, and what is wrong ends in one line that names the key and the remedy."""

from pathlib import Path
from typing import Annotated, Literal

import pytest
import yaml
from conftest import ROOT
from pydantic import Field

from heldout.core import params


def function(data, *, rate: Annotated[float, Field(gt=0, le=1)], kind: Literal["a", "b"], size: list[int]):
    """A function whose keyword arguments are a section."""


@pytest.fixture
def write(tmp_path):
    path = tmp_path / "params.yaml"
    return lambda text: path.write_text(text, encoding="utf-8") and path


GOOD = "part:\n  rate: 0.5\n  kind: a\n  size: [1, 2]\n"


def test_a_right_section_is_the_keyword_arguments(write):
    assert params.section("part", function, write(GOOD)) == {"rate": 0.5, "kind": "a", "size": [1, 2]}


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("rate: 0.5", "rat: 0.5", r"part.rat is not known: did you mean rate\?"),
        ("rate: 0.5", "colour: red\n  rate: 0.5", "part.colour is not known: expected rate, kind, size"),
        ("  rate: 0.5\n", "", "part.rate is missing"),
        ("rate: 0.5", "rate: 1e-3", "part.rate is '1e-3': expected number; YAML reads 1e-3 as text, write 0.001$"),
        ("rate: 0.5", "rate: fast", "part.rate is 'fast': expected number$"),
        ("rate: 0.5", "rate: 2", "part.rate is 2: expected less than or equal to 1"),
        ("rate: 0.5", "rate: 0", "part.rate is 0: expected greater than 0"),
        ("rate: 0.5", "rate: true", "part.rate is True: expected number"),
        ("kind: a", "kind: c", "part.kind is 'c': expected 'a' or 'b'"),
        ("size: [1, 2]", "size: [1, x]", "part.size.1 is 'x': expected integer"),
        ("size: [1, 2]", "size: [1, 2.5]", "part.size.1 is 2.5: expected integer"),
        ("part:", "Part:", "section 'part' with keys was expected, got None"),
        ("kind: a", "kind: [", "is not YAML"),
    ],
)
def test_a_wrong_section_ends_in_one_line(write, old, new, line):
    with pytest.raises(ValueError, match=line) as caught:
        params.section("part", function, write(GOOD.replace(old, new)))
    assert "\n" not in str(caught.value)
    assert "params.yaml" in str(caught.value)


def test_seed_is_an_integer(write):
    assert params.scalar("seed", write("seed: 3\n")) == 3
    with pytest.raises(ValueError, match="seed is 'a': expected an integer"):
        params.scalar("seed", write("seed: a\n"))


def test_another_version_is_refused(write):
    path = write("numpy: 1.0.0\nno-such-library: 1.0\n")
    with pytest.raises(ValueError, match=r"says numpy 1.0.0, installed is \d.*make setup.*make lock"):
        params.check_versions("numpy", path=path)
    with pytest.raises(ValueError, match="installed is nothing"):
        params.check_versions("no-such-library", path=path)


@pytest.mark.parametrize(
    ("key", "new"), [("train.ema", "optimizer.ema_momentum"), ("augment.fill", "augment.fill_mode")]
)
def test_a_key_of_before_is_told_its_new_name(write, key, new):
    section, name = key.split(".")
    path = write(f"{section}:\n  {name}: 1\n")
    with pytest.raises(ValueError, match=rf"{key} is {new} since 0\.2: move its value there"):
        params.section(section, function, path)


def test_a_value_of_before_is_told_its_new_name(write):
    def split(*, method: Literal["hash", "stratified"]) -> None:
        """The section's function."""

    with pytest.raises(ValueError, match=r"split\.method is 'stable': expected .*; 'stable' is hash since 0\.2$"):
        params.section("split", split, write("split:\n  method: stable\n"))


@pytest.mark.parametrize("new", sorted(set(params.RENAMED.values())))
def test_every_new_name_is_a_key(new):
    section, key = new.split(".")
    assert key in yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))[section]


def test_every_key_has_a_comment():
    lines = Path(ROOT, "params.yaml").read_text(encoding="utf-8").splitlines()
    keys = [line for line in lines if line.startswith("  ")]
    assert [line for line in keys if "#" not in line and "formats" not in line and "interpolation" not in line] == []
