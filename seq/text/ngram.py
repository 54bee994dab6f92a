"""Counts of n-grams: the plain baseline that a language model is held against."""

from collections import Counter
from collections.abc import Iterable

import numpy as np

from minigrad.errors import ArgumentError
from seq.parameters import check_int
from seq.text.vocabulary import PAD, Array


class NGram:
    """P(y⟨t⟩ | the n - 1 tokens before), from counts of up to n tokens in a row.

    P_n(y | c) = (count(c y) + k P_(n-1)(y | c')) / (count(c) + k), where c' is c but
    for its first token, and k the number of different tokens seen after c; P_0 is the
    same for all `size` tokens. Witten & Bell (1991), as Chen & Goodman (1998) write it.
    Before the first token there is <PAD>.

    >>> model = NGram(2, 4).fit([np.array([3, 1])] * 3)
    >>> round(model.loss([np.array([3, 1])]), 3)
    0.152
    """

    def __init__(self, n: int, size: int) -> None:
        check_int("n", n, 1)
        check_int("size", size, 1)
        self.n, self.size = n, size
        self.counts: Counter[tuple[int, ...]] = Counter()
        self.totals: Counter[tuple[int, ...]] = Counter()
        self.kinds: Counter[tuple[int, ...]] = Counter()

    def fit(self, sequences: Iterable[Array]) -> "NGram":
        """Count the sequences, on top of what was counted before."""
        for sequence in sequences:
            for k in range(1, self.n + 1):
                self.counts.update(_grams(sequence, k))
        self.totals.clear()
        self.kinds.clear()
        for gram, count in self.counts.items():
            self.totals[gram[:-1]] += count
            self.kinds[gram[:-1]] += 1
        return self

    def shorter(self, n: int) -> "NGram":
        """The model of fewer tokens in a row, from the same counts.

        Raises ArgumentError for more tokens than were counted.
        """
        if n > self.n:
            raise ArgumentError(f"up to {self.n} tokens in a row were counted, not {n}")
        found = NGram(n, self.size)
        found.counts, found.totals, found.kinds = self.counts, self.totals, self.kinds
        return found

    def loss(self, sequences: Iterable[Array]) -> float:
        """-log P per token, of all the sequences; ArgumentError if there is none."""
        total, count = 0.0, 0
        for sequence in sequences:
            for gram in _grams(sequence, self.n):
                total -= np.log(self._probability(gram))
                count += 1
        if not count:
            raise ArgumentError("there is no token to take the loss of")
        return float(total / count)

    def _probability(self, gram: tuple[int, ...]) -> float:
        found = 1 / self.size
        for start in reversed(range(self.n)):
            part = gram[start:]
            if kinds := self.kinds[part[:-1]]:
                total = self.totals[part[:-1]]
                found = (self.counts[part] + kinds * found) / (total + kinds)
        return found


def _grams(sequence: Array, n: int) -> Iterable[tuple[int, ...]]:
    """The n tokens up to each one."""
    padded = [PAD] * (n - 1) + sequence.tolist()
    return zip(*(padded[i:] for i in range(n)), strict=False)
