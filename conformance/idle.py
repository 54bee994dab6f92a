"""A case's data among more features, units and rows, which rest.

A unit whose weights, biases and states are 0 stays 0, and so does what comes back to
it: the others compute what they did. Their rounding is the same too, so that in float32
larger sizes need no limits of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from seq.cell import Cell

from .cases import PEER_KINDS, LayerCase
from .data import Array, Arrays, Data, suffixes
from .kinds import LARGER, Kind

PLACES = {"I": (2, 9, 18), "H": (0, 8, 17, 31, 36), "P": (3, 10), "B": (1, 4, 5, 8)}
"""Where the units of SIZES stand among those of LARGER: in blocks, and in what is
left over."""


def rests(case: LayerCase, kind: Kind) -> bool:
    """Whether a unit without weights stays 0, as under layer norm it doesn't.

    Of a cell of one's own nobody knows, though it be called gru.
    """
    own = isinstance(kind.cell, Cell)
    return case.family in PEER_KINDS and not kind.made and not own


@dataclass(frozen=True)
class Among:
    """The way there, and back."""

    case: LayerCase
    kind: Kind

    def data(self, data: Data) -> Data:
        """The same, and zeros around it; a row that is added has all its steps."""
        masks, lengths = data.masks, data.lengths
        if lengths is not None:
            rows = np.full(LARGER["B"], self.case.steps, lengths.dtype)
            rows[list(PLACES["B"])] = lengths
            lengths = rows
        return replace(
            data,
            inputs=self._put_all(data.inputs),
            parameters=self._put_all(data.parameters),
            cotangents=self._put_all(data.cotangents),
            directions=self._put_all(data.directions),
            lengths=lengths,
            masks=masks and [self._put("output", mask) for mask in masks],
        )

    def taken(self, arrays: Mapping[str, Array]) -> Arrays:
        """What the units that don't rest have of outputs or gradients."""
        found = {}
        for name, array in arrays.items():
            whole = tuple(size for _, size in self._axes(name))
            right = array.shape == whole
            found[name] = array[self._index(name)] if right else array
        return found

    def _put_all(self, arrays: Arrays) -> Arrays:
        return {name: self._put(name, array) for name, array in arrays.items()}

    def _put(self, name: str, array: Array) -> Array:
        whole = np.zeros([size for _, size in self._axes(name)], array.dtype)
        whole[self._index(name)] = array
        return whole

    def _index(self, name: str) -> tuple[Array, ...]:
        return np.ix_(*(places for places, _ in self._axes(name)))

    def _axes(self, name: str) -> list[tuple[Array, int]]:
        """Of each axis of a tensor the places that are taken, and its size."""
        return [self._axis(word) for word in self._words(name)]

    def _axis(self, word: str) -> tuple[Array, int]:
        count, letter = int(word[:-1] or 1), word[-1]
        if letter not in PLACES:
            return np.arange(count), count
        size = LARGER[letter]
        blocks = [np.array(PLACES[letter]) + n * size for n in range(count)]
        return np.concatenate(blocks), count * size

    def _words(self, name: str) -> list[str]:
        """The axes of a tensor, such as `["14T", "B", "I"]`; a T has all its places."""
        case, kind = self.case, self.kind
        below = f"{case.directions}{'P' if 'proj_size' in kind.options else 'H'}"
        if name in ("x", "output"):
            axes = ["B", f"{case.steps}T"][:: 1 if case.batch_first else -1]
            axes = axes if case.batched else [f"{case.steps}T"]
            return [*axes, "I" if name == "x" else below]
        if name[:-2] in kind.carry:
            rows = ["B"] if case.batched else []
            return [f"{case.layers * case.directions}L", *rows, kind.carry[name[:-2]]]
        suffix = next(
            s
            for layer in range(case.layers)
            for s in suffixes(case, layer)
            if name.endswith(s)
        )
        words = kind.parameters[name.removesuffix(suffix)].split()
        return [below if w == "I" and "_l0" not in suffix else w for w in words]
