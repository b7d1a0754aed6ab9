"""A sentence encoder of the BERT family in numpy, to see what it would add to texts: no part of the project.

FOLDER holds model.safetensors and tokenizer.json, as sentence-transformers publishes all-MiniLM-L6-v2; its tokenizer
needs the package `tokenizers`, which the project does not install. "A man is eating food." and "A man is eating a piece
of bread." have the cosine 0.7553 that the documentation of sentence-transformers prints.
"""

import json
import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from scipy.special import erf

HEADS, LENGTH, EPSILON = 12, 128, 1e-12


class SentenceEncoder:
    """Texts to vectors of length 1: the mean of the last layer's tokens.

    Args:
        folder: see above.
    """

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer

        self.weights = _safetensors(folder / "model.safetensors")
        self.layers = 1 + max(int(name.split(".")[2]) for name in self.weights if name.startswith("encoder.layer."))
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.enable_truncation(LENGTH)
        self.tokenizer.no_padding()

    def __call__(self, texts: Iterable[str]) -> np.ndarray:
        """float32 (n, dimensions)."""
        return np.stack([self._embed(text) for text in texts])

    def _embed(self, text: str) -> np.ndarray:
        ids = np.array(self.tokenizer.encode(text).ids)
        words, positions, types = (
            self.weights[f"embeddings.{name}_embeddings.weight"] for name in ("word", "position", "token_type")
        )
        x = self._normalized(words[ids] + positions[: len(ids)] + types[0], "embeddings.LayerNorm")
        for number in range(self.layers):
            name = f"encoder.layer.{number}"
            attended = self._dense(self._attention(x, f"{name}.attention.self"), f"{name}.attention.output.dense")
            x = self._normalized(attended + x, f"{name}.attention.output.LayerNorm")
            hidden = self._dense(x, f"{name}.intermediate.dense")
            hidden = hidden * (1 + erf(hidden / np.sqrt(2))) / 2  # GELU
            x = self._normalized(self._dense(hidden, f"{name}.output.dense") + x, f"{name}.output.LayerNorm")
        mean = x.mean(axis=0)
        return (mean / np.linalg.norm(mean)).astype(np.float32)

    def _attention(self, x: np.ndarray, name: str) -> np.ndarray:
        count, width = x.shape
        query, key, value = (
            self._dense(x, f"{name}.{part}").reshape(count, HEADS, width // HEADS).transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 2, 1) / np.sqrt(width // HEADS)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        return (weights @ value).transpose(1, 0, 2).reshape(count, width)

    def _dense(self, x: np.ndarray, name: str) -> np.ndarray:
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def _normalized(self, x: np.ndarray, name: str) -> np.ndarray:
        mean, variance = x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
        scaled = (x - mean) / np.sqrt(variance + EPSILON)
        return scaled * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]


def _safetensors(path: Path) -> dict[str, np.ndarray]:
    """The float32 arrays of a file: the length of its header, the header as JSON, the data."""
    content = path.read_bytes()
    start = 8 + struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8:start])
    return {
        name: np.frombuffer(content[slice(*(start + end for end in entry["data_offsets"]))], np.float32).reshape(
            entry["shape"]
        )
        for name, entry in header.items()
        if name != "__metadata__" and entry["dtype"] == "F32"
    }
