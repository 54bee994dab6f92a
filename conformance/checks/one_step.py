"""The layers of a single step: RNNCell, GRUCell and LSTMCell."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import seq

from .. import policy
from ..cases import AXES, stream
from ..data import WEIGHT_SCALE, resolve
from ..judge import Judge, Pair
from ..kinds import KINDS, SIZES, Kind
from ..result import Result
from ..tape import MINIGRAD, STRIDED, TORCH, Array, Arrays, Run, Tape, Tensors, measure
from .differences import difference_errors
from .under_test import pack

CELL_KINDS = ("rnn_tanh", "rnn_relu", "gru", "lstm")


@dataclass(frozen=True)
class CellCase:
    """One step of a cell. See `LayerCase`; the axes are the same where they apply."""

    kind_name: str
    bias: bool
    batched: bool
    state: bool
    strided: bool
    dtype: str

    @property
    def id(self) -> str:
        """What names it, such as "gru_cell/nobias/h0/f32"."""
        axes = ("bias", "batched", "state", "strided", "dtype")
        tokens = [AXES[axis][getattr(self, axis)] for axis in axes]
        return "/".join([self.family, *filter(None, tokens)])

    @property
    def family(self) -> str:
        """What float32 errors are recorded by."""
        return f"{self.kind_name}_cell"

    is_measured = True  # as `LayerCase.is_measured`

    @property
    def kind(self) -> Kind:
        """Its parameters and states: those of the layer."""
        return KINDS[self.kind_name]

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the input, of the state if it is given, and of the parameters."""
        batch = "B " if self.batched else ""
        words = {"x": f"{batch}I"}
        if self.state:
            words |= {f"{n}_0": f"{batch}{s}" for n, s in self.kind.carry.items()}
        for name, shape in self.kind.parameters.items():
            if self.bias or not name.startswith("bias_"):
                words[name] = shape
        return {name: resolve(word, SIZES) for name, word in words.items()}

    def seed_shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the new state's cotangents."""
        batch = "B " if self.batched else ""
        carry = self.kind.carry.items()
        return {f"{n}_n": resolve(f"{batch}{s}", SIZES) for n, s in carry}

    def arrays(self, seed: int = 0) -> tuple[Arrays, Arrays, Arrays]:
        """What is differentiated, the cotangents and the directions."""
        rng = stream(self.id, "data", seed)

        def draw(name: str, shape: tuple[int, ...]) -> Array:
            scale = WEIGHT_SCALE if name in self.kind.parameters else 1.0
            return (rng.standard_normal(shape) * scale).astype(self.dtype)

        groups = (self.shapes(), self.seed_shapes(), self.shapes())
        leaves, cotangents, directions = (
            {name: draw(name, shape) for name, shape in shapes.items()}
            for shapes in groups
        )
        return leaves, cotangents, directions


def cell_cases() -> list[CellCase]:
    """The whole product."""
    axes = ("bias", "batched", "state", "strided", "dtype")
    values = (AXES[axis] for axis in axes)
    return [CellCase(*row) for row in itertools.product(CELL_KINDS, *values)]


def check_cell(
    case: CellCase, subject: Any = seq, errors: policy.Errors | None = None
) -> Iterator[Result]:
    """Every check of one case. What raises is a failure like any other.

    subject: a namespace with RNNCell, GRUCell and LSTMCell.
    """
    errors = policy.recorded() if errors is None else errors
    judge = Judge(case.family, case.id, case.dtype, case.family, errors)
    try:
        yield from _check(judge, case, subject)
    except Exception as error:
        yield judge.raised("runs", error)


def _check(judge: Judge, case: CellCase, subject: Any) -> Iterator[Result]:
    leaves, cotangents, directions = case.arrays()
    done = run_subject(case, leaves, subject)
    found = measure(done, cotangents, directions)
    wide = {name: array.astype(np.float64) for name, array in leaves.items()}
    reference = measure(run_torch(case, wide), cotangents, directions)
    for what, tensors in reference.items():
        for name, expected in tensors.items():
            yield judge.close(what, name, found[what][name], expected)
    if not case.state:
        shapes = case.seed_shapes().items()
        zeros = {n.replace("_n", "_0"): np.zeros(s, case.dtype) for n, s in shapes}
        explicit = run_subject(case, {**leaves, **zeros}, subject).values
        for name, value in done.values.items():
            yield judge.equal(f"no state is zeros: {name}", value, explicit[name])
    if case.dtype == "float64":

        def function(moved: Arrays) -> Arrays:
            return run_subject(case, moved, subject).values

        gradients = found["grad(all)"]
        for name, error in difference_errors(
            function, leaves, cotangents, gradients, directions
        ):
            yield judge.differenced(f"differences: {name}", error)


def run_subject(case: CellCase, arrays: Arrays, subject: Any) -> Run:
    """The step of the subject."""
    make = getattr(subject, f"{case.kind.module}Cell")
    options = {"bias": case.bias, **case.kind.options}
    layer = make(SIZES["I"], SIZES["H"], **options, dtype=case.dtype)
    parameters = {n: a for n, a in arrays.items() if n in case.kind.parameters}
    layer.load_state_dict(parameters)
    tape = STRIDED[MINIGRAD] if case.strided else MINIGRAD
    inputs = tape.leaves({n: a for n, a in arrays.items() if n not in parameters})
    leaves = {**inputs, **dict(layer.named_parameters())}
    return _run(case, tape, leaves, layer(leaves["x"], _state(case, leaves)))


def run_torch(case: CellCase, arrays: Arrays) -> Run:
    """The step of PyTorch."""
    make = getattr(torch.nn, f"{case.kind.module}Cell")
    options = {"bias": case.bias, **case.kind.options}
    layer = make(SIZES["I"], SIZES["H"], **options, device="meta")
    leaves = TORCH.leaves(arrays)
    parameters = {n: t for n, t in leaves.items() if n in case.kind.parameters}
    args = (leaves["x"], _state(case, leaves))
    return _run(
        case, TORCH, leaves, torch.func.functional_call(layer, parameters, args)
    )


def torch_pair(case: CellCase, seed: int) -> Pair:
    """The step of PyTorch in float32, and in float64 on the same data."""
    leaves, cotangents, directions = case.arrays(seed)
    wide = {name: array.astype(np.float64) for name, array in leaves.items()}
    return (
        measure(run_torch(case, leaves), cotangents, directions),
        measure(run_torch(case, wide), cotangents, directions),
    )


def _state(case: CellCase, leaves: Tensors) -> Any:
    return pack(tuple(leaves[f"{n}_0"] for n in case.kind.carry if f"{n}_0" in leaves))


def _run(case: CellCase, tape: Tape, leaves: Tensors, result: Any) -> Run:
    states = result if isinstance(result, tuple) else (result,)
    names = [f"{name}_n" for name in case.kind.carry]
    return Run(tape, leaves, dict(zip(names, states, strict=True)))
