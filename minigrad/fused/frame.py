"""The layout of a sequence: which rows run at which step, and where they are kept.

Without lengths a stream is (T, B, ...). With lengths the examples are sorted, the
longest first, and a stream is (R, ...): the rows of the first step, then those of the
second that still run, and so on. Nothing is kept of a row that has ended.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from ..op import Array, Op

MOST_ROWS = 256  # that are added up by themselves: longer sums are less accurate


class Frame:
    """The layout of one call.

    sizes: the number of rows at each step, int64 (T,). half: which half of a carry has
    the states after the last step. unit: how many steps together can be summed apart
    from others, and come to the same bits; block: their rows.
    """

    def __init__(self, n_steps: int, batch: int, reverse: bool) -> None:
        self.n_steps = n_steps
        self.batch = batch
        self.reverse = reverse
        self.ragged = False
        self.lead: tuple[int, ...] = (n_steps, batch)
        self.half = n_steps % 2
        self.sizes = np.full(n_steps, batch, np.int64)
        self.unit = max(MOST_ROWS // batch, 1) if batch else 1
        self.block = self.unit * batch
        if batch > MOST_ROWS:
            self.block = MOST_ROWS
            self.unit = MOST_ROWS // math.gcd(MOST_ROWS, batch)

    def __repr__(self) -> str:
        return f"<frame {'ragged' if self.ragged else self.lead}>"

    @functools.cached_property
    def reversed(self) -> Frame:
        """The same rows, run from the other end."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__, reverse=not self.reverse)
        return other

    def last(self, halves: Array) -> Array:
        """The states after each row's last step, from the two halves of a carry."""
        return halves[self.half]


class Ragged(Frame):
    """The layout of examples that end before others. lengths: int64 (B,)."""

    def __init__(self, lengths: Array, n_steps: int, reverse: bool) -> None:
        super().__init__(n_steps, len(lengths), reverse)
        self.ragged = True
        self.block = MOST_ROWS
        self.order = np.argsort(-lengths, kind="stable")
        self.inverse = np.argsort(self.order, kind="stable")
        self.lengths = lengths[self.order]
        live = np.arange(n_steps)[:, None] < self.lengths
        self.sizes = live.sum(1)
        steps, self.owners = np.nonzero(live)
        self.places = steps * self.batch + self.order[self.owners]
        self.lead = (len(self.places),)

    def last(self, halves: Array) -> Array:
        """The states after each row's last step, from the two halves of a carry."""
        if self.reverse:
            return halves[self.half]
        return halves[self.lengths % 2, np.arange(self.batch)]


@functools.lru_cache(64)
def uniform(n_steps: int, batch: int, reverse: bool) -> Frame:
    """The layout of examples that all have n_steps steps."""
    return Frame(n_steps, batch, reverse)


def _pack(x: Array, frame: Any) -> Array:
    """(T, B, ...) as the rows that run."""
    return x.reshape(-1, *x.shape[2:])[frame.places]


def _unpack(x: Array, frame: Any) -> Array:
    """The rows that run as (T, B, ...), 0 elsewhere."""
    out = np.zeros((frame.n_steps * frame.batch, *x.shape[1:]), x.dtype)
    out[frame.places] = x
    return out.reshape(frame.n_steps, frame.batch, *x.shape[1:])


def _sort(x: Array, frame: Any) -> Array:
    """(B, ...), the longest example first."""
    return x[frame.order]


def _unsort(x: Array, frame: Any) -> Array:
    """(B, ...) from the longest first to the order that was given."""
    return x[frame.inverse]


def _own(x: Array, frame: Any) -> Array:
    """A row of (B, ...), the longest first, for each row that runs."""
    return x[frame.owners]


def _gather_own(x: Array, frame: Any) -> Array:
    """The sum of each example's rows: (B, ...), the longest first."""
    out = np.zeros((frame.batch, *x.shape[1:]), x.dtype)
    np.add.at(out, frame.owners, x)
    return out


pack, unpack, sort, unsort, own, gather_own = (
    Op(forward, None, samples=(), registered=False)
    for forward in (_pack, _unpack, _sort, _unsort, _own, _gather_own)
)
for one, other in ((pack, unpack), (sort, unsort), (own, gather_own)):
    one.vjp(x=lambda g, y, x, frame, adjoint=other: adjoint(g, frame))
    other.vjp(x=lambda g, y, x, frame, adjoint=one: adjoint(g, frame))
