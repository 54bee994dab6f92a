"""A dialect: how a framework writes down the weights of one layer and direction.

The arrays of a framework are blocks, one for each gate, which hold rows of PyTorch's
parameters: in another order, transposed, interleaved, added up, negated. Whoever says
which blocks has said how weights go there and back, how gradients come back, and what
is lost on the way. `subjects.py` and `others.py` say it of each framework.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ..kinds import KINDS

Array = np.ndarray[Any, Any]
Arrays = dict[str, Array]
Row = tuple[str, str]
"""A parameter's name and a gate; no gate if the parameter isn't stacked from gates."""

GATES = {1: "h", 2: "fn", 3: "rzn", 4: "ifgo"}
"""PyTorch's gates, in its order, by how many there are."""
COUPLED = "igo"


class NotRepresentableError(ValueError):
    """Weights that a dialect can't hold without computing something else."""


@dataclass(frozen=True)
class Block:
    """One gate's part of an array: `sign` times its rows of some parameters, added up.

    added: what the framework adds to it on its own, and so has to be taken off.
    Without parameters it is zeros that nobody reads.
    """

    gate: str
    of: tuple[str, ...]
    sign: int = 1
    added: float = 0.0

    @property
    def rows(self) -> list[Row]:
        """The terms of the sum."""
        return [(name, self.gate) for name in self.of]


def gates(
    order: str, *of: str, inverted: str = "", added: Mapping[str, float] | None = None
) -> tuple[Block, ...]:
    """A block for each letter of `order`; inverted are gates that are 1 minus ours."""
    extra = added or {}
    signs = {gate: -1 for gate in inverted}
    return tuple(Block(g, of, signs.get(g, 1), extra.get(g, 0.0)) for g in order)


@dataclass(frozen=True)
class Stack:
    """One array of a framework.

    layout: its axes, in words. `g` runs over the gates, `h` over a gate's units, `i`
    over the inputs of a matrix, `p` over two halves of the gates; letters of one word
    are merged. PyTorch's own is "gh i", a transposed one "i gh", an interleaved one
    "hg i", a bias "gh".
    """

    name: str
    blocks: tuple[Block, ...]
    layout: str

    @property
    def is_bias(self) -> bool:
        """Whether a layer without biases may be without it."""
        return all(name.startswith("bias_") for b in self.blocks for name in b.of)

    def pack(self, blocks: Array) -> Array:
        """(gates, units) or (gates, units, inputs) as the framework has it."""
        sizes = self._sizes(blocks.shape[1], prod(blocks.shape[2:]))
        own, axes = self._axes
        turned = blocks.reshape([sizes[a] for a in own]).transpose(
            [own.index(a) for a in axes]
        )
        return np.ascontiguousarray(turned.reshape(self._shape(sizes)))

    def unpack(self, array: Array) -> Array:
        """The framework's array as (gates, units) or (gates, units, inputs)."""
        words = self.layout.split()
        if array.ndim != len(words):
            raise ValueError(
                f"{self.name} has the axes {self.layout!r}, not the shape {array.shape}"
            )
        inputs = array.shape[words.index("i")] if "i" in words else 1
        units = array.size // (len(self.blocks) * max(inputs, 1))
        sizes = self._sizes(units, inputs)
        if array.shape != self._shape(sizes):
            raise ValueError(
                f"{self.name} has the axes {self.layout!r} and {len(self.blocks)} "
                f"gates, not the shape {array.shape}"
            )
        own, axes = self._axes
        turned = array.reshape([sizes[a] for a in axes]).transpose(
            [axes.index(a) for a in own]
        )
        return turned.reshape(len(self.blocks), units, *[inputs] * ("i" in axes))

    @property
    def _axes(self) -> tuple[str, str]:
        """The axes in our order, and in the framework's."""
        axes = self.layout.replace(" ", "")
        return "".join(axis for axis in "pghi" if axis in axes), axes

    def _sizes(self, units: int, inputs: int) -> dict[str, int]:
        halves = 2 if "p" in self.layout else 1
        count = len(self.blocks) // halves
        return {"p": halves, "g": count, "h": units, "i": inputs}

    def _shape(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        return tuple(prod(sizes[a] for a in word) for word in self.layout.split())


@dataclass(frozen=True)
class Dialect:
    """How a framework holds the weights of one of our kinds of layer."""

    framework: str
    kind: str
    layer: str
    arrays: tuple[Stack, ...]
    bias_option: bool = True  # whether there can be no biases

    def to_framework(self, parameters: Mapping[str, Array]) -> Arrays:
        """PyTorch's parameters of one layer and direction, as the framework's arrays.

        Biases that aren't there are left out, or zeros if the framework insists on
        some. What `losses` calls added up keeps its sum only, which computes the same.
        Raises NotRepresentableError if what has no place isn't zero, ValueError for a
        parameter that the kind doesn't have.
        """
        rows = split(self.kind, parameters)
        if homeless := [row for row in self._homeless() if np.any(rows[row])]:
            names = " and ".join(f"{name} of gate {gate}" for name, gate in homeless)
            raise NotRepresentableError(f"{self.layer} has no place for {names}")
        found = {}
        for stack in self._held(parameters):
            like = rows[next(b.rows[0] for b in stack.blocks if b.of)]
            blocks = [
                b.sign * sum((rows[row] for row in b.rows), np.zeros_like(like))
                - like.dtype.type(b.added)
                for b in stack.blocks
            ]
            found[stack.name] = stack.pack(np.stack(blocks))
        return found

    def from_framework(self, arrays: Mapping[str, Array]) -> Arrays:
        """PyTorch's parameters; a sum comes back as its first term, zeros the others.

        Raises ValueError for an array of a wrong shape, KeyError for one that misses.
        """
        rows: dict[Row, Array] = {}
        for stack in self.arrays:
            if stack.is_bias and self.bias_option and stack.name not in arrays:
                continue
            unpacked = stack.unpack(arrays[stack.name])
            for block, value in zip(stack.blocks, unpacked, strict=True):
                for place, row in enumerate(block.rows):
                    own = block.sign * (value + value.dtype.type(block.added))
                    rows[row] = np.zeros_like(own) if place else own
        return join(self.kind, rows)

    def gradients(
        self, arrays: Mapping[str, Array], parameters: Mapping[str, Array]
    ) -> Arrays:
        """From gradients by the arrays of `to_framework` those by the parameters.

        A term of a sum has the gradient of the sum.
        """
        rows: dict[Row, Array] = {}
        for stack in self._held(parameters):
            unpacked = stack.unpack(arrays[stack.name])
            for block, value in zip(stack.blocks, unpacked, strict=True):
                rows |= dict.fromkeys(block.rows, block.sign * value)
        found = join(self.kind, rows)
        return {name: found[name] for name in parameters}

    def losses(self) -> list[str]:
        """What doesn't come back from the framework."""
        sums: dict[tuple[str, ...], str] = {}
        for stack in self.arrays:
            for block in stack.blocks:
                if len(block.of) > 1:
                    sums[block.of] = sums.get(block.of, "") + block.gate
        found = [f"{' + '.join(of)} of {gates}: the sum" for of, gates in sums.items()]
        missing: dict[str, str] = {}
        for name, gate in self._homeless():
            missing[name] = missing.get(name, "") + gate
        return found + [
            f"{name} of {gates}: nothing" for name, gates in missing.items()
        ]

    def _homeless(self) -> list[Row]:
        """What there is no place for."""
        held = {row for stack in self.arrays for b in stack.blocks for row in b.rows}
        return [row for row in all_rows(self.kind) if row not in held]

    def _held(self, parameters: Mapping[str, Array]) -> list[Stack]:
        """The arrays that a layer with these parameters has."""
        biased = any(name.startswith("bias_") for name in parameters)
        bare = self.bias_option and not biased
        return [stack for stack in self.arrays if not (bare and stack.is_bias)]


def gates_of(kind: str) -> dict[str, str]:
    """The gates of each parameter, in PyTorch's order; none if it isn't stacked."""
    found = {}
    for name, shape in KINDS[kind].parameters.items():
        count = int(shape.split()[0][:-1] or 1)
        order = COUPLED if kind == "lstm_coupled" else GATES[count]
        found[name] = order if name.endswith(("_ih", "_hh")) else ""
    return found


def all_rows(kind: str) -> list[Row]:
    """Every gate of every parameter."""
    return [(n, gate) for n, order in gates_of(kind).items() for gate in order or [""]]


def split(kind: str, parameters: Mapping[str, Array]) -> dict[Row, Array]:
    """Parameters by gates; biases that aren't there are zeros."""
    orders = gates_of(kind)
    if unknown := sorted(set(parameters) - set(orders)):
        raise ValueError(f"{kind} has {', '.join(orders)}, not {', '.join(unknown)}")
    needed = [name for name in orders if not name.startswith("bias_")]
    if missing := sorted(set(needed) - set(parameters)):
        raise ValueError(f"{kind} needs {', '.join(missing)}")
    weight = parameters["weight_hh"]
    units = len(weight) // len(orders["weight_hh"])
    rows: dict[Row, Array] = {}
    for name, order in orders.items():
        zeros = np.zeros(units * len(order), weight.dtype)
        array = parameters.get(name, zeros)
        parts = np.split(array, len(order)) if order else [array]
        rows |= {(name, g): p for g, p in zip(order or [""], parts, strict=True)}
    return rows


def join(kind: str, rows: Mapping[Row, Array]) -> Arrays:
    """Parameters from their gates; zeros for gates that aren't there."""
    found = {}
    for name, order in gates_of(kind).items():
        parts = [rows.get((name, gate)) for gate in order or [""]]
        like = next((part for part in parts if part is not None), None)
        if like is not None:
            zeros = np.zeros_like(like)
            found[name] = np.concatenate([zeros if p is None else p for p in parts])
    return found
