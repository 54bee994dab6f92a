"""Other ways to the same outputs, that must lead there."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import minigrad as mg

from ..cases import LayerCase
from ..data import Data, batch_axis, state_shapes
from ..kinds import SIZES, Kind
from ..tape import Arrays, Tensors
from .under_test import Forward, call


@dataclass(frozen=True)
class Relation:
    """A forward that must agree with the plain call; `exact` means to the last bit."""

    name: str
    applies: Callable[[LayerCase], bool]
    forward: Forward
    exact: bool = False
    # The layer that runs it, where it isn't the case's own.
    variant: Callable[[LayerCase], LayerCase] = lambda case: case


def zero_state(
    layer: Any, leaves: Tensors, case: LayerCase, kind: Kind, data: Data
) -> Tensors:
    """No initial state is a state of zeros."""
    shapes, lib = state_shapes(case, kind), library(leaves["x"])
    dtype = getattr(lib, case.dtype)
    zeros = {f"{n}_0": lib.zeros(*s, dtype=dtype) for n, s in shapes.items()}
    return call(layer, {**leaves, **zeros}, case, kind, data)


def row_by_row(
    layer: Any, leaves: Tensors, case: LayerCase, kind: Kind, data: Data
) -> Tensors:
    """A batch is its rows, each alone."""
    axes = {"x": batch_axis(case), "output": batch_axis(case)}
    axes |= {n: 1 + ("T" in shape) for n, (shape, _) in kind.data.items()}
    runs = []
    for row in range(SIZES["B"]):
        one = slice(row, row + 1)
        own = {
            name: narrow(leaf, axes.get(name, 1), one)
            for name, leaf in leaves.items()
            if name not in data.parameters
        }
        part = replace(
            data,
            lengths=None if data.lengths is None else data.lengths[one],
            masks=data.masks and [narrow(m, axes["x"], one) for m in data.masks],
            constants={n: narrow(a, axes[n], one) for n, a in data.constants.items()},
        )
        runs.append(call(layer, own, case, kind, part))
    return {n: join([r[n] for r in runs], axes.get(n, 1)) for n in runs[0]}


def in_chunks(
    layer: Any, leaves: Tensors, case: LayerCase, kind: Kind, data: Data
) -> Tensors:
    """A sequence is its pieces, each from where the last one ended."""
    axis = time_axis(case)
    now = dict(leaves)
    outputs = []
    for start, stop in ((0, 1), (1, 4), (4, case.steps)):
        span = slice(start, stop)
        now["x"] = narrow(leaves["x"], axis, span)
        lengths = data.lengths
        stepwise = [name for name, (shape, _) in kind.data.items() if "T" in shape]
        now |= {n: narrow(leaves[n], 1, span) for n in stepwise if n in leaves}
        part = replace(
            data,
            lengths=None if lengths is None else np.clip(lengths, start, stop) - start,
            masks=data.masks and [narrow(m, axis, span) for m in data.masks],
            constants={
                n: narrow(a, 1, span) if n in stepwise else a
                for n, a in data.constants.items()
            },
        )
        found = call(layer, now, case, kind, part)
        outputs.append(found["output"])
        now |= {f"{name}_0": found[f"{name}_n"] for name in kind.carry}
    return {**found, "output": join(outputs, axis)}


def transposed(
    layer: Any, leaves: Tensors, case: LayerCase, kind: Kind, data: Data
) -> Tensors:
    """Batch first is time first, transposed; the layer is of the other kind."""
    part = replace(data, masks=data.masks and [m.swapaxes(0, 1) for m in data.masks])
    turned = {**leaves, "x": leaves["x"].transpose(0, 1)}
    found = call(layer, turned, case, kind, part)
    return {**found, "output": found["output"].transpose(0, 1)}


def longer_padding(
    layer: Any, leaves: Tensors, case: LayerCase, kind: Kind, data: Data
) -> Tensors:
    """How much padding follows, and what is in it, is nobody's business."""
    axis = time_axis(case)
    stepwise = [name for name, (shape, _) in kind.data.items() if "T" in shape]
    more = {n: extend(leaves[n], 1) for n in stepwise if n in leaves}
    x = extend(leaves["x"], axis)
    beyond = np.arange(x.shape[axis]) >= case.steps
    where = beyond[:, None] if case.batch_first else beyond[:, None, None]
    x = x + library(x).tensor(np.where(where, np.nan, 0.0).astype(case.dtype))
    part = replace(
        data,
        masks=data.masks and [extend(mask, axis) for mask in data.masks],
        constants={
            n: extend(a, 1) if n in stepwise else a for n, a in data.constants.items()
        },
    )
    found = call(layer, {**leaves, **more, "x": x}, case, kind, part)
    return {**found, "output": narrow(found["output"], axis, slice(0, case.steps))}


def full_lengths(
    layer: Any, leaves: Tensors, case: LayerCase, kind: Kind, data: Data
) -> Tensors:
    """Every row to the end is no lengths at all."""
    lengths = np.full(SIZES["B"], case.steps)
    return call(layer, leaves, case, kind, replace(data, lengths=lengths))


def after_use(
    layer: Any, leaves: Tensors, case: LayerCase, kind: Kind, data: Data
) -> Tensors:
    """A layer keeps nothing of a call, of having been evaluated, or of old weights."""
    layer.load_state_dict({name: 2 * a for name, a in data.parameters.items()})
    layer.eval()
    call(layer, {**leaves, "x": leaves["x"] * 2.0}, case, kind, data)
    layer.train()
    call(layer, {**leaves, "x": leaves["x"] * -3.0}, case, kind, data)
    layer.load_state_dict(data.parameters)
    return call(layer, leaves, case, kind, data)


def after_a_step(
    layer: Any, leaves: Tensors, case: LayerCase, kind: Kind, data: Data
) -> Tensors:
    """An optimiser changes the weights where they are; the next call sees it."""
    layer.load_state_dict({name: 2 * a for name, a in data.parameters.items()})
    call(layer, leaves, case, kind, data)
    assign(leaves, data.parameters)
    return call(layer, leaves, case, kind, data)


def assign(leaves: Tensors, arrays: Arrays) -> None:
    """Give parameters other values, as an optimiser does."""
    lib = library(leaves["x"])
    for name, array in arrays.items():
        put = leaves[name].assign if lib is mg else leaves[name].copy_
        with lib.no_grad():
            put(lib.tensor(array))


def evaluated(
    layer: Any, leaves: Tensors, case: LayerCase, kind: Kind, data: Data
) -> Tensors:
    """A layer that drops nothing is the same when it is evaluated, time and again.

    Also if the weights have changed where they are, as between two epochs.
    """
    layer.load_state_dict({name: 2 * a for name, a in data.parameters.items()})
    layer.eval()
    call(layer, {**leaves, "x": leaves["x"] * 2.0}, case, kind, data)
    assign(leaves, data.parameters)
    return call(layer, leaves, case, kind, data)


def spread_out(
    layer: Any, leaves: Tensors, case: LayerCase, kind: Kind, data: Data
) -> Tensors:
    """Where numbers lie in memory is nobody's business: here each stands apart."""
    lib = library(leaves["x"])
    apart = {
        name: lib.stack([leaf, leaf], -1)[..., 0]
        for name, leaf in leaves.items()
        if name not in data.parameters
    }
    return call(layer, {**leaves, **apart}, case, kind, data)


def time_axis(case: LayerCase) -> int:
    """The axis of the steps, in the case's layout."""
    return 1 if case.batched and case.batch_first else 0


def narrow(value: Any, axis: int, part: slice) -> Any:
    """A slice along one axis, of a tensor or an array."""
    return value[(*(slice(None),) * axis, part)]


def extend(value: Any, axis: int) -> Any:
    """Two steps more, like the first."""
    first = narrow(value, axis, slice(0, 1))
    return join([value, first, first], axis)


def join(parts: list[Any], axis: int) -> Any:
    """Tensors or arrays, one after the other along an axis."""
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts, axis)
    return library(parts[0]).cat(parts, dim=axis)


def library(tensor: Any) -> Any:
    """minigrad, or torch for its tensors: what is used of them here is spelt alike."""
    return mg if isinstance(tensor, mg.Tensor) else sys.modules["torch"]


RELATIONS = (
    Relation("no state is zeros", lambda c: not c.state, zero_state, exact=True),
    Relation("after other calls", lambda c: True, after_use, exact=True),
    Relation("after a step", lambda c: True, after_a_step, exact=True),
    Relation("evaluated", lambda c: not c.dropout, evaluated),
    Relation("spread out", lambda c: True, spread_out),
    Relation("row by row", lambda c: c.batched, row_by_row),
    Relation("in chunks", lambda c: c.steps > 4 and not c.bidirectional, in_chunks),
    Relation(
        "other layout",
        lambda c: c.batched,
        transposed,
        variant=lambda c: replace(c, batch_first=not c.batch_first),
    ),
    Relation("longer padding", lambda c: c.ragged, longer_padding),
    Relation("full lengths", lambda c: c.batched and not c.ragged, full_lengths),
)
