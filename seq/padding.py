"""Sequences of different lengths as batches: padded, with their lengths, shuffled."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from minigrad.errors import ArgumentError
from seq.parameters import check_int

Array = np.ndarray[Any, Any]

IGNORE = -100
"""The label of a step past the end; `cross_entropy` leaves it out."""
POOL = 50
"""Batches that are sorted by length together: enough for little padding."""


class Batch(NamedTuple):
    """What a model learns from at once.

    x: (T, B, ...), the steps of B examples; lengths: int64 (B,), their T_x; y: what is
    to be said of each example (B, ...), or of each step (T_y, B, ...).
    """

    x: Array
    lengths: Array
    y: Array


def pad(sequences: Sequence[Any], value: float = 0) -> tuple[Array, Array]:
    """Sequences (T_i, ...) as one array (T, B, ...) and the lengths T_i, int64 (B,).

    Past its end a sequence has `value`. Raises ArgumentError for no sequences, or if
    they differ in more than their length.

    >>> pad([[1, 2, 3], [4]], -1)[0].T.tolist()
    [[1, 2, 3], [4, -1, -1]]
    """
    arrays = [np.asarray(sequence) for sequence in sequences]
    kinds = {(a.shape[1:], a.dtype) for a in arrays if a.size} or {((), np.dtype(int))}
    if not arrays or len(kinds) > 1 or min(a.ndim for a in arrays) < 1:
        shown = sorted({f"{a.dtype}{a.shape}" for a in arrays})[:4]
        raise ArgumentError(
            "pad takes arrays that differ in their first axis only, at least one; "
            f"got {', '.join(shown) or 'none'}"
        )
    ((rest, dtype),) = kinds
    lengths = np.array([len(a) for a in arrays], np.int64)
    padded = np.full((max(lengths.max(), 1), len(arrays), *rest), value, dtype)
    for i, array in enumerate(arrays):
        padded[: len(array), i] = array if array.size else padded[:0, i]
    return padded, lengths


class PaddedBatches:
    """Examples and their targets as batches of like lengths, in a new order each epoch.

    inputs: arrays (T_i, ...); targets: an array (N, ...), one for each example, or a
    list of arrays (T_i, ...), padded with IGNORE if they are ints and 0 if floats.
    Without shuffle the order stays as it is. Raises ArgumentError if there aren't as
    many targets as inputs, or none.
    """

    def __init__(
        self,
        inputs: Sequence[Any],
        targets: Array | Sequence[Any],
        batch_size: int,
        *,
        shuffle: bool = True,
        seed: int = 0,
    ) -> None:
        check_int("batch_size", batch_size, 1)
        if len(inputs) != len(targets) or not len(inputs):
            raise ArgumentError(
                "inputs and targets must be as many, and at least one; "
                f"got {len(inputs)} and {len(targets)}"
            )
        self.inputs, self.targets = inputs, targets
        self.batch_size, self.shuffle, self.seed = batch_size, shuffle, seed
        self._lengths = np.array([len(x) for x in inputs])

    def __len__(self) -> int:
        return -(-len(self.inputs) // self.batch_size)

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of epoch `number`, from the one at `start` on."""
        for chosen in self._order(number)[start:]:
            x, lengths = pad([self.inputs[i] for i in chosen])
            yield Batch(x, lengths, self._targets_of(chosen))

    def _order(self, number: int) -> list[Array]:
        """Which examples are in which batch."""
        order = np.arange(len(self.inputs))
        if not self.shuffle:
            return _cut(order, self.batch_size)
        rng = np.random.default_rng([self.seed, number])
        pools = _cut(rng.permutation(order), POOL * self.batch_size)
        batches = [
            batch
            for pool in pools
            for batch in _cut(pool[np.argsort(self._lengths[pool])], self.batch_size)
        ]
        return [batches[i] for i in rng.permutation(len(batches))]

    def _targets_of(self, chosen: Array) -> Array:
        if isinstance(self.targets, np.ndarray):
            return self.targets[chosen]
        targets = [np.asarray(self.targets[i]) for i in chosen]
        return pad(targets, IGNORE if targets[0].dtype.kind == "i" else 0)[0]


def _cut(order: Array, size: int) -> list[Array]:
    return [order[i : i + size] for i in range(0, len(order), size)]
