"""Flax: nn.RNN and nn.Bidirectional around the cells of linen, and of nnx."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
from flax import linen, nnx
from jax import numpy as jnp

from ..cases import LayerCase
from ..data import Data, suffixes
from ..kinds import SIZES, kind_of
from . import Answer
from .converted import Converted
from .jax import Tensors, differentiated
from .stacking import place_parameters, time_first

KINDS = ("rnn_tanh", "rnn_relu", "gru", "lstm")
WAYS = ("forward", "backward")


class Linen(Converted):
    """flax.linen."""

    packages = ("flax", "jax")
    any_size = False
    padding = 0.0  # a NaN there would spread through the gradient
    framework = "Flax linen"

    def refuses(self, case: LayerCase) -> str:
        """Cells that it lacks."""
        return "" if case.kind in KINDS else "no such cell"

    def run_converted(self, case: LayerCase, data: Data) -> Answer:
        """As a function of all leaves, differentiated as a whole."""
        return differentiated(self.forward, case, data)

    def forward(self, case: LayerCase, leaves: Tensors, lengths: Any) -> Tensors:
        """A case's outputs from Flax's weights."""
        kind = kind_of(case.kind)
        x = time_first(case, leaves["x"])
        names = [f"{name}_0" for name in kind.carry]
        states = [leaves[name] for name in names] if case.state else None
        ends = []
        for depth in range(case.layers):
            first = None
            if states is not None:
                lead = depth * case.directions
                now = [s if case.batched else s[:, None] for s in states]
                first = [
                    _carry([state[lead + direction] for state in now])
                    for direction in range(case.directions)
                ]
            own = [place_parameters(leaves, s) for s in suffixes(case, depth)]
            carries, x = self.layer(case, own, x, first, lengths)
            ends += [_uncarry(carry) for carry in carries]
        if lengths is not None:  # documented as not zeroed out
            x = jnp.where(jnp.arange(len(x))[:, None, None] < lengths[:, None], x, 0)
        last = [jnp.stack(parts) for parts in zip(*ends, strict=True)]
        last = last if case.batched else [end[:, 0] for end in last]
        finals = [f"{name}_n" for name in kind.carry]
        return {"output": time_first(case, x), **dict(zip(finals, last, strict=True))}

    def layer(
        self,
        case: LayerCase,
        weights: Sequence[Tensors],
        x: Any,
        first: Any,
        lengths: Any,
    ) -> tuple[Sequence[Any], Any]:
        """One layer in all its directions: (final carries, output)."""
        runs = [linen.RNN(self.cell(case), return_carry=True) for _ in weights]
        trees = [_nested(own) for own in weights]
        options = {"seq_lengths": lengths, "time_major": True, "return_carry": True}
        if len(runs) == 1:
            options["initial_carry"] = None if first is None else first[0]
            carry, output = runs[0].apply({"params": {"cell": trees[0]}}, x, **options)
            return [carry], output
        layer = linen.Bidirectional(*runs)
        tree = {f"{way}_rnn": {"cell": t} for way, t in zip(WAYS, trees, strict=True)}
        options["initial_carry"] = None if first is None else tuple(first)
        return layer.apply({"params": tree}, x, **options)

    def cell(self, case: LayerCase) -> Any:
        """A cell of linen."""
        dtype = jnp.dtype(case.dtype)
        options = {"dtype": dtype, "param_dtype": dtype}
        if case.kind.startswith("rnn"):
            activation = jax.nn.relu if case.kind == "rnn_relu" else jnp.tanh
            return linen.SimpleCell(SIZES["H"], activation_fn=activation, **options)
        cell = {"gru": linen.GRUCell, "lstm": linen.LSTMCell}[case.kind]
        return cell(SIZES["H"], **options)


class Nnx(Linen):
    """flax.nnx."""

    framework = "Flax nnx"

    def layer(
        self,
        case: LayerCase,
        weights: Sequence[Tensors],
        x: Any,
        first: Any,
        lengths: Any,
    ) -> tuple[Sequence[Any], Any]:
        """One layer in all its directions: (final carries, output)."""
        runs = []
        for own in weights:
            cell = self.sized_cell(case, x.shape[-1])
            for name, array in own.items():
                dense, _, part = name.partition("/")
                setattr(getattr(cell, dense), part, nnx.Param(array))
            runs.append(nnx.RNN(cell))
        options = {"seq_lengths": lengths, "time_major": True, "return_carry": True}
        if len(runs) == 1:
            options["initial_carry"] = None if first is None else first[0]
            carry, output = runs[0](x, **options)
            return [carry], output
        options["initial_carry"] = None if first is None else tuple(first)
        return nnx.Bidirectional(*runs)(x, **options)

    def sized_cell(self, case: LayerCase, inputs: int) -> Any:
        """A cell of nnx, which knows its input's size."""
        dtype = jnp.dtype(case.dtype)
        options = {"dtype": dtype, "param_dtype": dtype, "rngs": nnx.Rngs(0)}
        if case.kind.startswith("rnn"):
            activation = jax.nn.relu if case.kind == "rnn_relu" else jnp.tanh
            options["activation_fn"] = activation
            return nnx.SimpleCell(inputs, SIZES["H"], **options)
        cells = {"gru": nnx.GRUCell, "lstm": nnx.OptimizedLSTMCell}
        return cells[case.kind](inputs, SIZES["H"], **options)


def _carry(states: Sequence[Any]) -> Any:
    """Flax's order of an LSTM's states is (c, h)."""
    return tuple(reversed(states)) if len(states) > 1 else states[0]


def _uncarry(carry: Any) -> Sequence[Any]:
    return tuple(reversed(carry)) if isinstance(carry, tuple) else (carry,)


def _nested(weights: Tensors) -> dict[str, Any]:
    """{"ii/kernel": ...} as {"ii": {"kernel": ...}}."""
    tree: dict[str, Any] = {}
    for name, array in weights.items():
        dense, _, part = name.partition("/")
        tree.setdefault(dense, {})[part] = array
    return tree
