"""Class names as the pictures write them: none with a box for a glyph, and no two alike."""

import re

import pytest

from heldout.core import fonts


@pytest.mark.parametrize(
    "name", ["cat", "New York", "$x$", "\\frac{1}{2}", "_a", "<b>", "naïve", "Ελλάδα", "Москва", "Tiếng Việt", "☕"]
)
def test_a_name_that_the_font_can_draw_is_written_as_it_is(name):
    assert fonts.display_names(["a", name]) == ["a", name]


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("猫", "#2"),
        ("猫 cat", "#2 … cat"),
        ("cat 猫", "#2 cat"),
        ("北京-duck", "#2 …-duck"),
        ("🐕", "#2"),
        ("ไทย", "#2"),
        ("שלום", "#2"),  # the font has its letters, and would write them in the wrong order
        ("a\u200fb", "#2 a…b"),  # a right-to-left mark, which nobody sees
        ("\x1b[31mred", "#2 …[31mred"),
        ("cat ", "#2 cat"),
        ("#3", "#2 #3"),  # or it would be taken for the third class
    ],
)
def test_another_name_has_the_number_of_its_line_in_classes_txt(name, written):
    names = fonts.display_names(["a", name])
    assert names == ["a", written]
    assert fonts.is_numbered(names) and not fonts.is_numbered(names[:1])


def test_a_letter_of_two_characters_is_written_as_one():
    assert fonts.display_names(["e\u0301clair"]) == ["éclair"]


def test_a_long_name_loses_its_middle():
    long = "the first words of a name of more than forty letters 1"
    assert fonts.display_names([long]) == ["the first word…rty letters 1"]
    assert fonts.display_names(["W" * 255, "i" * 255]) == ["WWWWWWW…WWWWWW", f"{'i' * 23}…{'i' * 23}"]
    assert fonts.display_names(["rand_augment_ops alone"]) == ["rand_augment_ops alone"]


def test_no_two_names_look_alike():
    same = [f"what comes first and second, {middle}, and what comes last" for middle in ("this", "that")]
    same += ["cat", " cat", "cat\u00a0", "éclair", "e\u0301clair", "猫", "狗", "a\u200eb", "a\u200fb", "#1", "#2"]
    names = fonts.display_names(same)
    assert len(set(names)) == len(names)
    assert [int(re.match(r"#(\d+)", name)[1]) for name in names] == list(range(1, len(names) + 1))
