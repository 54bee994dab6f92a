"""A word as a tagger reads it: what it is, how it is written, and its characters."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn, rng
from seq.models.shapes import output_size, pooled
from seq.recurrent import Recurrent
from seq.text.batches import pad

Array = np.ndarray[Any, Any]

N_FORMS = 6


def form(word: str) -> list[float]:
    """How a word is written, as N_FORMS numbers, 0 or 1.

    Whether it starts with a capital, is all capitals, holds a digit, starts with @,
    starts with #, is an address.

    >>> form("Paris")
    [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    """
    facts = (
        word[:1].isupper(),
        len(word) > 1 and word.isupper(),
        any(c.isdigit() for c in word),
        word.startswith("@"),
        word.startswith("#"),
        "http" in word or "www." in word,
    )
    return [float(fact) for fact in facts]


class WordTable:
    """Numbers for words and for characters; 0 is what is rarer than `least`.

    A sentence becomes int64 (T, 1): the numbers of its words among all the words that
    were ever looked at, whose spelling `WordInputs` reads.
    """

    def __init__(self, sentences: Iterable[Sequence[str]], least: int = 2) -> None:
        sentences = list(sentences)
        words = Counter(word.lower() for words in sentences for word in words)
        letters = Counter(c for words in sentences for word in words for c in word)
        self.words = _numbered(words, least)
        self.letters = _numbered(letters, least)
        self.seen: dict[str, int] = {}

    def encode(self, sentence: Sequence[str]) -> Array:
        """The words as numbers in `seen`, int64 (T,)."""
        return np.array([self.seen.setdefault(w, len(self.seen)) for w in sentence])

    def spelling(self, numbers: Array) -> tuple[Array, Array, Array, Array]:
        """Of the words: their numbers, forms, and letters (longest, N) with lengths."""
        known = list(self.seen)
        words = [known[i] for i in numbers]
        index = np.array([self.words.get(w.lower(), 0) for w in words])
        forms = np.array([form(w) for w in words], np.float32)
        letters, lengths = pad([[self.letters.get(c, 0) for c in w] for w in words])
        return index, forms, letters, lengths


class WordInputs(nn.Module):
    """The vector of each word: [e(word), form, a→ and a← over its characters].

    layer: a Recurrent that reads embedded characters, its input_size being their size.
    words are left out with probability `dropped` in training, so that what is not
    known is met there, too. Lample et al. (2016), arXiv:1603.01360, section 4.
    """

    def __init__(
        self,
        table: WordTable,
        size: int,
        layer: Recurrent,
        *,
        dropped: float = 0.0,
        generator: rng.Seed = None,
    ) -> None:
        g = rng.generator(generator)
        self.table = table
        dtype = layer.parameter_dtype()
        self.word = nn.Embedding(len(table.words) + 1, size, dtype=dtype, generator=g)
        self.letter = nn.Embedding(
            len(table.letters) + 1, layer.input_size, dtype=dtype, generator=g
        )
        self.layer = layer
        self.dropped = dropped
        self.output_size = size + N_FORMS + output_size(layer)

    def forward(self, numbers: Tensor) -> Tensor:
        """(T, B, output_size) of the numbers (T, B) of words in the table.

        Every word of the batch is spelt once.
        """
        kinds, where = np.unique(np.asarray(numbers), return_inverse=True)
        index, forms, letters, lengths = self.table.spelling(kinds)
        steps, _ = self.layer(self.letter(mg.tensor(letters)), lengths=lengths)
        read = pooled(steps, lengths, "last", self.layer.bidirectional)
        words = self.word(mg.tensor(index))
        if self.training and self.dropped:
            kept = mg.ones(len(kinds), 1, dtype=words.dtype)
            words = words * mg.dropout(kept, self.dropped)
        vectors = mg.cat([words, mg.tensor(forms, dtype=words.dtype), read], -1)
        return vectors[where.reshape(numbers.shape)]


def _numbered(counts: Counter[str], least: int) -> dict[str, int]:
    kept = sorted(key for key, n in counts.items() if n >= least)
    return {key: i + 1 for i, key in enumerate(kept)}
