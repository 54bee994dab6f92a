"""The arrays of a case: weights, inputs, states, lengths, masks and cotangents.

Random and never constant, biases and states non-zero and unequal, sizes unlike each
other, lengths unsorted with an empty row, a row of one step and a full one, padding
that holds NaN: what a wrong layer could hide behind is not there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from minigrad.errors import ArgumentError

from .cases import LayerCase
from .kinds import SIZES, Draw, Kind

Array = np.ndarray[Any, Any]
Arrays = dict[str, Array]

WEIGHT_SCALE = 0.3  # gates are neither linear nor saturated
LARGE = 2.0**20  # of a cotangent: a power of two, so that nothing is rounded
STEEP = (1.0, 4.0)  # of a c, unit by unit
NUDGE = 2.0**-10  # other roundings in float32, and the same cancellations
EXTREMES = (1.0, 30.0, 1.0, 3000.0)  # of x step by step, of a c unit by unit


@dataclass(frozen=True)
class Data:
    """What a case is run on. Arrays are in the case's own layout and dtype."""

    inputs: Arrays  # "x"; the initial state, such as "h_0"; float data of the cell
    parameters: Arrays  # under PyTorch's names
    cotangents: Arrays  # one for each output: "output", "h_n", ...
    directions: Arrays  # one for each input and parameter
    lengths: Array | None = None
    masks: list[Array] | None = None
    constants: Arrays = field(default_factory=dict)  # data of the cell, not floats

    @property
    def leaves(self) -> Arrays:
        """All that is differentiated."""
        return {**self.inputs, **self.parameters}

    def with_leaves(self, leaves: Mapping[str, Array]) -> Data:
        """The same with other values of what is differentiated."""
        return replace(
            self,
            inputs={name: leaves[name] for name in self.inputs},
            parameters={name: leaves[name] for name in self.parameters},
        )

    def astype(self, dtype: Any) -> Data:
        """The same with every float array in another dtype."""

        def cast(arrays: Arrays) -> Arrays:
            return {name: array.astype(dtype) for name, array in arrays.items()}

        return replace(
            self,
            inputs=cast(self.inputs),
            parameters=cast(self.parameters),
            cotangents=cast(self.cotangents),
            directions=cast(self.directions),
        )


def make_data(case: LayerCase, kind: Kind, seed: int = 0) -> Data:
    """The data of a case; the same id and seed give the same arrays everywhere."""
    rng = case.rng("data", seed)

    def draw(shape: Sequence[int], scale: float = 1.0) -> Array:
        return (rng.standard_normal(tuple(shape)) * scale).astype(case.dtype)

    def state(name: str, shape: tuple[int, ...]) -> Array:
        own = kind.draws.get(name)
        return draw(shape) if own is None else drawn(own, name, rng, shape, case.dtype)

    def weight(name: str, shape: tuple[int, ...]) -> Array:
        own = own_draw(kind, name)
        if own is not None:
            return drawn(own, name, rng, shape, case.dtype)
        return centre(name) + draw(shape, WEIGHT_SCALE)

    states = state_shapes(case, kind)
    inputs = {"x": draw(laid_out(case, kind, kind.sizes["I"]))}
    if case.state:
        inputs |= {f"{name}_0": state(name, shape) for name, shape in states.items()}
    given = {name: draw_data(rng, kind, name, case) for name in kind.data}
    floats = {name: a for name, a in given.items() if a.dtype.kind == "f"}
    inputs |= {name: array.astype(case.dtype) for name, array in floats.items()}
    shapes = parameter_shapes(case, kind)
    parameters = {name: weight(name, shape) for name, shape in shapes.items()}
    outputs = {"output": output_shape(case, kind)}
    outputs |= {f"{name}_n": shape for name, shape in states.items()}
    cotangents = {name: draw(shape) for name, shape in outputs.items()}
    leaves = {**inputs, **parameters}
    directions = {name: draw(array.shape) for name, array in leaves.items()}
    rows = kind.sizes["B"]
    lengths = ragged_lengths(case.steps, rows) if case.ragged else None
    masks = _masks(case, rng, outputs["output"])
    constants = {name: a for name, a in given.items() if name not in floats}
    if lengths is not None:
        inputs["x"][padding(case, lengths)] = np.nan  # nothing may look there
    return Data(inputs, parameters, cotangents, directions, lengths, masks, constants)


def own_draw(kind: Kind, parameter: str) -> Draw | None:
    """What draws a parameter, such as "tau_l0_reverse", if its author says so."""
    return kind.draws.get(parameter.rpartition("_l")[0])


def drawn(
    draw: Draw,
    name: str,
    rng: np.random.Generator,
    shape: tuple[int, ...],
    dtype: Any = None,
) -> Array:
    """What a function of the author's draws; ArgumentError for another shape."""
    array = np.asarray(draw(rng, shape), dtype)
    if array.shape != shape:
        raise ArgumentError(
            f"what draws {name} made an array of shape {array.shape}, not {shape}; it "
            "is called with (rng, shape), and returns an array of that shape"
        )
    return array


def centre(name: str) -> float:
    """What a parameter is drawn around: gains are factors, the others are weights.

    Normalised states forget their scale: at a gain of 1 each step, and each layer,
    would make the rounding of the one before larger.
    """
    return 0.5 if name.startswith("g_") else 0.0


def draw_data(
    rng: np.random.Generator, kind: Kind, name: str, case: LayerCase
) -> Array:
    """What the cell is given at each call: for each layer and direction, time first."""
    shape, draw = kind.data[name]
    words = shape.split() if case.batched else shape.replace("B", "").split()
    sizes = {**kind.sizes, "T": case.steps}
    lead = case.layers * case.directions
    return drawn(draw, name, rng, (lead, *resolve(" ".join(words), sizes)))


def ragged_lengths(steps: int, rows: int) -> Array:
    """Unsorted, with an empty row, a row of one step and a full one; of nine, two."""
    return np.resize(np.array([steps // 2, 0, steps, 1], np.int64), rows)


def nudged(case: LayerCase, data: Data, seed: int) -> Data:
    """A neighbour: x and the weights nearly the same, and all roundings others.

    Not the data of the cell, which may have bounds.
    """
    rng = case.rng("neighbour", seed)
    leaves = dict(data.leaves)
    for name in ("x", *data.parameters):
        factor = 1 + NUDGE * rng.standard_normal(leaves[name].shape)
        leaves[name] = (leaves[name] * factor).astype(case.dtype)
    return data.with_leaves(leaves)


def extreme(case: LayerCase, data: Data) -> Data:
    """The same with inputs that saturate every gate at every other step.

    Of an LSTM every other c is nearly saturated, too: there its gradient is small.
    """
    factors = np.resize(np.array(EXTREMES), (case.steps, 1, 1))
    if not case.batched:
        factors = factors[:, 0]
    elif case.batch_first:
        factors = factors.swapaxes(0, 1)
    inputs = {**data.inputs, "x": data.inputs["x"] * factors}
    if "c_0" in inputs:
        c = inputs["c_0"]
        inputs["c_0"] = c * np.resize(np.array(STEEP, c.dtype), c.shape[-1])
    return replace(data, inputs=inputs)


def large_cell(data: Data) -> Data:
    """The same with an LSTM's c, which has no bounds, large in every other unit.

    For outputs: of a gradient through a tanh that is 1, rounding is what is left.
    """
    if "c_0" not in data.inputs:
        return data
    c = data.inputs["c_0"]
    c = c * np.resize(np.array(EXTREMES, c.dtype), c.shape[-1])
    return replace(data, inputs={**data.inputs, "c_0": c})


def enlarged(data: Data) -> Data:
    """The same with large cotangents."""
    large = {name: LARGE * array for name, array in data.cotangents.items()}
    return replace(data, cotangents=large)


def zeroed(case: LayerCase, data: Data) -> Data:
    """The same with zeros for x and the states; padding stays as it is."""
    inputs = {
        name: np.zeros_like(array) if name == "x" or name.endswith("_0") else array
        for name, array in data.inputs.items()
    }
    if data.lengths is not None:
        past = padding(case, data.lengths)
        inputs["x"][past] = data.inputs["x"][past]
    return replace(data, inputs=inputs)


def sized(kind: Kind, parameters: Arrays) -> Kind:
    """The kind with the sizes that its parameters have."""
    below, state = parameters["weight_ih_l0"], parameters["weight_hh_l0"].shape[1]
    projection = parameters.get("weight_hr_l0")
    hidden = state if projection is None else projection.shape[1]
    return kind.resized({**SIZES, "I": below.shape[1], "H": hidden, "P": state})


def spoiled(case: LayerCase, kind: Kind, data: Data) -> Data:
    """A batch with inf in the first row, NaN in the third, and in the last one's state.

    Each at a step of its own before the row's end: what follows it, or in reverse what
    is before it, is spoiled, and nothing else.
    """
    x = data.inputs["x"].copy()
    by_row = x if case.batch_first else x.swapaxes(0, 1)
    by_row[0, case.steps // 4] = np.inf
    by_row[2, case.steps // 2, 0] = np.nan
    names = [f"{name}_0" for name in kind.carry if case.state]
    states = {name: data.inputs[name].copy() for name in names}
    for state in states.values():
        state[:, -1, 0] = np.nan
    return replace(data, inputs={**data.inputs, "x": x, **states})


def one_row(case: LayerCase, data: Data, row: int) -> Data:
    """A batch of one: the data of that row."""

    def narrowed(arrays: Arrays) -> Arrays:
        axes = {"x": batch_axis(case), "output": batch_axis(case)}
        return {n: a.take([row], axes.get(n, 1)) for n, a in arrays.items()}

    lengths = None if data.lengths is None else data.lengths.take([row])
    cotangents = narrowed(data.cotangents)
    return replace(
        data, inputs=narrowed(data.inputs), cotangents=cotangents, lengths=lengths
    )


def batch_axis(case: LayerCase) -> int:
    """The axis of the rows of sequences, in the case's layout."""
    return 0 if case.batch_first else 1


def padding(case: LayerCase, lengths: Array) -> Array:
    """Where a row is past its end, in the layout of the case's batch of sequences."""
    past: Array = np.arange(case.steps)[:, None] >= lengths
    return past.T if case.batch_first else past


def laid_out(case: LayerCase, kind: Kind, size: int) -> tuple[int, ...]:
    """The shape of sequences of vectors of `size`, in the case's layout."""
    if not case.batched:
        return (case.steps, size)
    batch, steps = kind.sizes["B"], case.steps
    lead = (batch, steps) if case.batch_first else (steps, batch)
    return (*lead, size)


def output_shape(case: LayerCase, kind: Kind) -> tuple[int, ...]:
    """The shape of the output, and of a mask between two layers."""
    return laid_out(case, kind, case.directions * kind.output)


def state_shapes(case: LayerCase, kind: Kind) -> dict[str, tuple[int, ...]]:
    """The shape of each part of the state, initial or final; never batch-first."""
    batch = (kind.sizes["B"],) if case.batched else ()
    lead = (case.layers * case.directions, *batch)
    carry = kind.carry.items()
    return {name: (*lead, *resolve(shape, kind.sizes)) for name, shape in carry}


def parameter_shapes(case: LayerCase, kind: Kind) -> dict[str, tuple[int, ...]]:
    """The shape of every parameter, under PyTorch's names and in its order."""
    found = {}
    for layer in range(case.layers):
        below = kind.sizes["I"] if layer == 0 else case.directions * kind.output
        for suffix in suffixes(case, layer):
            for name, shape in kind.parameters.items():
                if case.bias or not name.startswith("bias_"):
                    found[name + suffix] = resolve(shape, {**kind.sizes, "I": below})
    return found


def suffixes(case: LayerCase, layer: int) -> list[str]:
    """What PyTorch appends to a parameter's name, for each direction of a layer."""
    return [f"_l{layer}", f"_l{layer}_reverse"][: case.directions]


def resolve(shape: str, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """`"4H I"` in numbers."""
    return tuple(int(word[:-1] or 1) * sizes[word[-1]] for word in shape.split())


def _masks(
    case: LayerCase, rng: np.random.Generator, shape: tuple[int, ...]
) -> list[Array] | None:
    """What is kept between layers. Where all is dropped there is nothing to choose."""
    if not 0 < case.dropout < 1:
        return None
    return [rng.random(shape) >= case.dropout for _ in range(case.layers - 1)]
