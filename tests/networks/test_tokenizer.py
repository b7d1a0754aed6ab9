"""The tokenizer: golden ids, any Unicode, the same after a manifest, and words before parts where a text is cut."""

import unicodedata
import zlib
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heldout.core import names
from heldout.data import manifest
from heldout.networks import tokenizer

TEXT = {"method": "hashed", "buckets": 1000, "length": 32}


def ids(text: str, **changed) -> list[int]:
    row = tokenizer.tokenize([text], **(TEXT | changed))[0]
    return row[row != tokenizer.PADDING].tolist()


def hashed(*keys: str) -> list[int]:
    return [2 + zlib.crc32(key.encode()) % 998 for key in keys]


def test_a_word_and_its_parts_by_hand():
    parts = ["P<ca", "Pcat", "Pat>", "P<cat", "Pcat>"]
    assert ids("Cat!") == hashed("W<cat>", *parts)
    assert ids("a Cat") == hashed("W<a>", "W<cat>", *parts)
    assert zlib.crc32(b"W<cat>") == 0x2E2C94C8  # what another implementation has to compute, too


def test_words_come_first_where_a_text_is_cut():
    text = " ".join(f"word{number}" for number in range(40))
    assert ids(text) == hashed(*(f"W<word{number}>" for number in range(32)))
    assert ids("cat dog", length=3) == hashed("W<cat>", "W<dog>", "P<ca")


@pytest.mark.parametrize("text", ["", " ", "...", "\n\t-", "\ud800", "\u200b"])
def test_without_a_word_there_is_no_text(text):
    assert ids(text) == [tokenizer.NO_TEXT]
    assert np.array_equal(tokenizer.tokenize([text], **TEXT), tokenizer.without_text(1, 32))


def test_words():
    assert tokenizer.words("Stra\xdfe, \uff26ULL-width") == ["strasse", "full", "width"]
    assert tokenizer.words("re\u0301sume\u0301 = r\xe9sum\xe9") == ["r\xe9sum\xe9", "=", "r\xe9sum\xe9"]
    assert tokenizer.words("\u0928\u092e\u0938\u094d\u0924\u0947") == [
        "\u0928\u092e\u0938\u094d\u0924\u0947"
    ]  # its marks are no gaps
    assert tokenizer.words("I\u2665\u2602 \ud800x") == ["i", "\u2665", "\u2602", "x"]


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.characters(), max_size=60))
def test_any_unicode_gives_ids_in_range_and_the_same_whatever_its_form_and_case(text):
    row = tokenizer.tokenize([text], **TEXT)
    assert row.shape == (1, 32) and row.dtype == np.int32 and row.min() >= 0 and row.max() < 1000
    used = int((row != tokenizer.PADDING).sum())
    assert used > 0 and (row[0, used:] == tokenizer.PADDING).all()
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert np.array_equal(tokenizer.tokenize([unicodedata.normalize(form, text)], **TEXT), row)
    assert np.array_equal(tokenizer.tokenize([text.casefold()], **TEXT), row)
    assert tokenizer.words(" ".join(tokenizer.words(text))) == tokenizer.words(text)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.text(alphabet=st.characters(codec="utf-8")).filter(lambda text: not names.problem(text)), min_size=1)
)
def test_a_manifest_hands_texts_on_as_they_are(tmp_path_factory, texts):
    path = tmp_path_factory.mktemp("manifest") / "images.csv"
    manifest.write(pd.DataFrame({"id": [str(number) for number in range(len(texts))], "text": texts}), path)
    read = manifest.read(path)["text"].tolist()
    assert read == texts
    assert np.array_equal(tokenizer.tokenize(read, **TEXT), tokenizer.tokenize(texts, **TEXT))


def test_off_and_shards_without_texts():
    assert tokenizer.tokenize(["a"], **(TEXT | {"method": "none"})) is None
    assert tokenizer.tokens_of(SimpleNamespace(texts=None), None) is None
    with pytest.raises(ValueError, match=r"text\.method is hashed, but the shards hold no texts: run `dvc repro`"):
        tokenizer.tokens_of(SimpleNamespace(texts=None), TEXT)


def test_examples_are_told_with_their_ids():
    examples = tokenizer.examples(**TEXT)
    assert [example["text"] for example in examples] == list(tokenizer.EXAMPLES)
    assert examples[0]["ids"] == [tokenizer.NO_TEXT] and examples[1]["ids"] == ids("cat")
    assert tokenizer.words(examples[3]["text"]) == ["full", "width", "strasse"]
