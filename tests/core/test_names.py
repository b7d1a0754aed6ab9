"""Names from outside: which are refused, which look alike, and that what is printed can be printed."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heldout.core import names

ANY_NAME = st.text(st.characters(codec=None), max_size=20)


@pytest.mark.parametrize(
    "name", ["cat", "cat ", "übung", "名前", "a,b;c\"d'", "$x$", "NA", "007", "1e3", "\u202egnp.exe"]
)
def test_names_that_are_taken_as_they_are(name):
    assert names.problem(name) is None and names.printable(name) == name


@pytest.mark.parametrize(
    ("name", "problem", "printable"),
    [
        ("a\nb", "has a line break in its name", r"a\nb"),
        ("a\rb", "has a line break in its name", r"a\rb"),
        ("a\x0bb", "has a line break in its name", r"a\x0bb"),
        ("a\u2028b", "has a line break in its name", r"a\u2028b"),
        ("a\x85b", "has a line break in its name", r"a\x85b"),
        ("a\tb", "has a control character (U+0009) in its name", r"a\tb"),
        ("\x1b[31mred", "has a control character (U+001B) in its name", r"\x1b[31mred"),
        ("\udcff.jpg", "has a name that is not UTF-8", r"\udcff.jpg"),
    ],
)
def test_names_that_are_refused(name, problem, printable):
    assert names.problem(name) == problem and names.printable(name) == printable


@given(ANY_NAME)
def test_what_is_not_refused_is_one_line_of_utf_8(name):
    if names.problem(name) is None:
        assert name.encode("utf-8").decode("utf-8") == name and len(f"{name}.".splitlines()) == 1
    assert names.problem(names.printable(name)) is None


@pytest.mark.parametrize(
    ("first", "second", "difference"),
    [
        ("cat", "cat ", "blanks"),
        ("a b", "a  b", "blanks"),
        ("a b", "a\u00a0b", "blanks"),
        ("café", unicodedata.normalize("NFD", "café"), "Unicode form (NFC and NFD)"),
        ("Cat", "cat", "case"),
        ("Cat ", "cat", "case"),
    ],
)
def test_twins(first, second, difference):
    assert names.twins(["other", first, second]) == (*sorted((first, second)), difference)
    assert (names.twins([first, second], case=False) is None) == (difference == "case")


def test_letters_of_handwriting_and_one_name_again_are_no_twins():
    assert names.twins(["a", "A", "b", "a"]) is None
