"""Tokens: a text as numbers, hashes of its words and of their parts; no vocabulary to fit, so none that could leak."""

import unicodedata
import zlib
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

PADDING, NO_TEXT = 0, 1  # and the hashes from FIRST on
FIRST = 2
PARTS = (3, 4, 5)  # characters, the word's ends among them, of FastText (Bojanowski et al., 2017)
# What an implementation in another language has to agree on; with the ids that `examples` adds they ship.
EXAMPLES = ("", "Cat", "cafe\u0301 noir", "\uff26ull\uff0dwidth, Stra\xdfe", "\u732b\u3068\u72ac", "\u2602 3.5%")


def tokenize(
    texts: Iterable[str],
    *,
    method: Literal["none", "hashed"],
    buckets: Annotated[int, Field(ge=16, le=2**24)],
    length: Annotated[int, Field(ge=1, le=4096)],
) -> np.ndarray | None:
    """The ids of each text's words, then those of its words' parts, int32 (n, length); None where `method` is `none`.

    A text is brought to Unicode's NFKC and casefolded. Letters, their marks, and digits make words, each symbol one of
    its own, and all else parts them. A word and its parts of 3 to 5 characters, its ends (< and >) among them, become
    FIRST + CRC-32 of their UTF-8 modulo (buckets - FIRST), a word's after a first byte W, a part's after P. Where there
    is no word the first id is NO_TEXT; what is left of a row is PADDING. A lone surrogate parts words.

    Args:
        texts: any Unicode.
        method: `hashed`, or `none`.
        buckets: how many ids there are.
        length: of them an image, at most; the words come first, so that parts are cut before words are.
    """
    return hashed(texts, buckets, length) if method == "hashed" else None


def hashed(texts: Iterable[str], buckets: int, length: int) -> np.ndarray:
    """What `tokenize` gives with the method `hashed`, int32 (n, length)."""
    rows = [_ids(text, buckets, length) for text in texts]
    result = np.full((len(rows), length), PADDING, np.int32)
    for out, ids in zip(result, rows, strict=True):
        out[: len(ids)] = ids
    return result


def section(text: dict[str, Any]) -> dict[str, Any] | None:
    """The section `text`; None where its method is none, and the network sees pixels alone."""
    return None if text["method"] == "none" else text


def tokens_of(images: Any, text: dict[str, Any] | None) -> np.ndarray | None:
    """The tokens of a split's images, int32 (n, length), or None for a model without text.

    Args:
        images: whose `texts` are the texts, or None (`data.shards.Images`).
        text: the section `text`, or None where the model has none.

    Raises:
        ValueError: where there are no texts.
    """
    if not text or not section(text):
        return None
    if images.texts is None:
        raise ValueError(f"text.method is {text['method']}, but the shards hold no texts: run `dvc repro`")
    return tokenize(images.texts, **text)


def without_text(count: int, length: int) -> np.ndarray:
    """The tokens of `count` images without a text, int32 (count, length)."""
    result = np.full((count, length), PADDING, np.int32)
    result[:, 0] = NO_TEXT
    return result


def words(text: str) -> list[str]:
    """The words of a text, in NFKC and casefolded: runs of letters, marks and digits, and single symbols."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return "".join(map(_separated, folded)).split()


def model_inputs(batches: Iterable[np.ndarray], tokens: np.ndarray | None) -> Iterator[Any]:
    """Batches of pixels as the model takes them: as they are, or in a list with their rows of the tokens.

    Args:
        batches: of pixels, uint8 (n, height, width, channels), one after another.
        tokens: of all of them, or None.
    """
    start = 0
    for pixels in batches:
        yield pixels if tokens is None else [pixels, tokens[start : start + len(pixels)]]
        start += len(pixels)


def examples(**text: Any) -> list[dict[str, Any]]:
    """EXAMPLES with their ids, without what fills up: what another implementation can be checked by.

    Args:
        text: the keyword arguments of `tokenize`.
    """
    rows = hashed(EXAMPLES, text["buckets"], text["length"])
    return [{"text": text, "ids": row[row != PADDING].tolist()} for text, row in zip(EXAMPLES, rows, strict=True)]


def _separated(character: str) -> str:
    """A character of a word as it is, a symbol between blanks, and a blank for any other."""
    kind = unicodedata.category(character)[0]
    return character if kind in "LMN" else f" {character} " if kind == "S" else " "


def _ids(text: str, buckets: int, length: int) -> list[int]:
    marked = [f"<{word}>" for word in words(text)]
    keys = [f"W{word}" for word in marked]
    for word in marked[:length]:
        keys += [f"P{part}" for size in PARTS for part in _parts(word, size)] if len(keys) < length else []
    return [FIRST + zlib.crc32(key.encode()) % (buckets - FIRST) for key in keys[:length]] or [NO_TEXT]


def _parts(word: str, size: int) -> list[str]:
    """Parts of a word of so many characters; the whole word is none."""
    return [word[start : start + size] for start in range(len(word) - size + 1)] if len(word) > size else []
