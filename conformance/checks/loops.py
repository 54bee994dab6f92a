"""The fused loop at sizes where it has parts: against single ops, and against itself.

A layer case is too small for segments, blocks of rows that are summed apart, the tail
of a vector, work for several threads. Here a sequence has all of these, and the loop of
single ops, which the layer cases hold to PyTorch, says what comes of it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

import minigrad as mg
import seq
from minigrad import _backend

from ..cases import AXES, stream
from ..data import WEIGHT_SCALE, centre, resolve
from ..judge import Judge
from ..kinds import KINDS, SIZES, Kind
from ..result import Result
from ..tape import MINIGRAD, Array, Arrays, Run, Tensors
from .steps import STEPS, StepCase

Measured = dict[str, Arrays]

KIND_NAMES = (
    *("lstm", "gru", "rnn_tanh", "lstm_peephole", "lstm_layer_norm", "mgu"),
    *("lstm_zoneout", "gru_recurrent_dropout"),
)
LAYERS = 2
LONG = {"T": 131, "B": 6, "I": 3, "H": 19, "P": 2}
"""Four segments of as many rows as are summed together; no width is a vector's."""
WIDE = {"T": 48, "B": 72, "I": 5, "H": 96, "P": 2}
"""Enough to do for three threads."""
THREADS = 3
CHUNKS = (0, 1, 42, 43)


@dataclass(frozen=True)
class LoopCase:
    """A layer on long sequences, or on many. The axes are those of `LayerCase`."""

    kind_name: str
    wide: bool
    bidirectional: bool
    ragged: bool
    dtype: str

    @property
    def id(self) -> str:
        """What names it, such as "gru_loop/bi/lengths/f64"."""
        tokens = ["wide" * self.wide]
        for axis in ("bidirectional", "ragged", "dtype"):
            tokens.append(AXES[axis][getattr(self, axis)])
        return "/".join([self.group, *filter(None, tokens)])

    @property
    def group(self) -> str:
        """The row of the report."""
        return f"{self.kind_name}_loop"

    @property
    def kind(self) -> Kind:
        """Its parameters, states and data: those of the layer."""
        return KINDS[self.kind_name]

    @property
    def sizes(self) -> dict[str, int]:
        """What the letters of a shape stand for."""
        return WIDE if self.wide else LONG

    @property
    def places(self) -> int:
        """Layers times directions."""
        return LAYERS * (1 + self.bidirectional)

    @property
    def lengths(self) -> Array | None:
        """Unsorted, with an empty row and a full one."""
        steps, batch = self.sizes["T"], self.sizes["B"]
        return np.arange(batch) * 37 % (steps + 1) if self.ragged else None

    def layer(self, subject: Any = seq) -> Any:
        """The layer, with the case's weights."""
        cell = subject.CELLS[self.kind_name]
        sizes = self.sizes["I"], self.sizes["H"], LAYERS
        options = {"bidirectional": self.bidirectional, "dtype": self.dtype}
        layer = subject.Recurrent(cell, *sizes, **options)
        rng = stream(self.id, "weights")
        # States as large as in a layer case, whatever the width.
        scale = WEIGHT_SCALE * (SIZES["H"] / self.sizes["H"]) ** 0.5
        weights = {
            name: centre(name) + scale * rng.standard_normal(value.shape)
            for name, value in layer.state_dict().items()
        }
        layer.load_state_dict({n: a.astype(self.dtype) for n, a in weights.items()})
        return layer

    def inputs(self) -> Arrays:
        """The input, the initial states and the data of the cell."""
        rng, sizes = stream(self.id, "inputs"), self.sizes
        found = {"x": rng.standard_normal((sizes["T"], sizes["B"], sizes["I"]))}
        for name, shape in self.kind.carry.items():
            rows = (self.places, sizes["B"], *resolve(shape, sizes))
            found[f"{name}_0"] = rng.standard_normal(rows)
        for name, (shape, draw) in self.kind.data.items():
            found[name] = draw(rng, (self.places, *resolve(shape, sizes)))
        return {name: a.astype(self.dtype) for name, a in found.items()}


def loop_cases() -> list[LoopCase]:
    """Every kind; lengths, directions and dtypes in pairs. Two kinds are wide too."""
    long = [
        LoopCase(kind, False, bidirectional, ragged, dtype)
        for kind in KIND_NAMES
        for bidirectional, ragged, dtype in (
            (False, False, "float64"),
            (False, True, "float32"),
            (True, False, "float32"),
            (True, True, "float64"),
        )
    ]
    wide = [
        LoopCase(kind, True, both, both, "float32")
        for kind in KIND_NAMES[:2]
        for both in (False, True)
    ]
    return long + wide


def check_loop(case: LoopCase, subject: Any = seq) -> Iterator[Result]:
    """Every check of one case. What raises is a failure like any other."""
    judge = Judge(case.group, case.id, case.dtype, case.group, {})
    for law in (is_fused, ways_agree, chunks_agree, stream_agrees):
        try:
            yield from law(judge, case, subject)
        except Exception as error:
            yield judge.raised(law.__name__.replace("_", " "), error)


def is_fused(judge: Judge, case: LoopCase, subject: Any) -> Iterator[Result]:
    """Every place is, and its derivative too."""
    for found in mg.explain(case.layer(subject)):
        detail = f"{found.title} runs op by op: {found.reason}"
        met = found.reason is None and found.backward is not None
        yield judge.demand(f"is fused: {found.title}", met, detail)


def ways_agree(judge: Judge, case: LoopCase, subject: Any) -> Iterator[Result]:
    """Single ops, threads and checkpoints give the same outputs and gradients."""
    with threads(1):
        plain = _measure(_run(case, subject))
    own_rows = any("T" not in shape for shape, _ in case.kind.data.values())
    sums_alike = not case.ragged and not own_rows
    ways: list[tuple[str, bool, AbstractContextManager[Any], dict[str, Any]]] = [
        ("op by op", False, mg.eager_loops(), {}),
        ("threads", True, threads(THREADS), {}),
        ("checkpoint", sums_alike, nullcontext(), {"checkpoint": 10}),
        ("checkpoint sqrt", sums_alike, nullcontext(), {"checkpoint": "sqrt"}),
    ]
    for name, exact, mode, options in ways:
        if _owed(judge, exact):
            with mode:
                found = _measure(_run(case, subject, **options))
            for what, tensors in found.items():
                yield from _agree(judge, f"{name}: {what}", tensors, plain[what], exact)


def chunks_agree(judge: Judge, case: LoopCase, subject: Any) -> Iterator[Result]:
    """A sequence is its chunks, and a batch its rows."""
    layer, inputs = case.layer(subject), MINIGRAD.leaves(case.inputs())
    whole = _values(_call(case, layer, inputs))
    part = slice(1, 4)
    stepwise = [name for name, (shape, _) in case.kind.data.items() if "T" in shape]
    some = {
        name: tensor[:, :, part] if name in stepwise else tensor[:, part]
        for name, tensor in inputs.items()
    }
    lengths = None if case.lengths is None else case.lengths[part]
    rows = _values(_call(case, layer, some, lengths=lengths))
    expected = {name: array[:, part] for name, array in whole.items()}
    yield from _agree(judge, "some rows:", rows, expected, True)
    if case.bidirectional or case.ragged:
        return
    now, outputs = dict(inputs), []
    for start, stop in itertools.pairwise((*CHUNKS, case.sizes["T"])):
        now["x"] = inputs["x"][start:stop]
        now |= {name: inputs[name][:, start:stop] for name in stepwise}
        found = _call(case, layer, now)
        outputs.append(found["output"])
        now |= {f"{name}_0": found[f"{name}_n"] for name in case.kind.carry}
    chunked = _values({**found, "output": mg.cat(outputs)})
    yield from _agree(judge, "in chunks:", chunked, whole, True)


def stream_agrees(judge: Judge, case: LoopCase, subject: Any) -> Iterator[Result]:
    """Fed step by step, and once more from a state on, it gives the same outputs."""
    if case.bidirectional or case.ragged or case.kind.data:
        return
    layer, inputs = case.layer(subject), case.inputs()
    x, state = inputs["x"], tuple(inputs[f"{name}_0"] for name in case.kind.carry)
    whole = _values(_call(case, layer, MINIGRAD.leaves(inputs)))
    fed = layer.stream(len(x[0]), state if len(state) > 1 else state[0])
    outputs = [fed(row) for row in x[:9]]
    middle = fed.state
    for row in x[9:11]:  # so that the state is set after an odd number of steps
        fed(row)
    fed.state = middle
    outputs += [fed(row) for row in x[9:]]
    last = fed.state if len(state) > 1 else (fed.state,)
    names = [f"{name}_n" for name in case.kind.carry]
    found = {"output": np.stack(outputs), **dict(zip(names, last, strict=True))}
    yield from _agree(judge, "as a stream:", found, whole, True)


def check_scan() -> Iterator[Result]:
    """Steps of all kinds, given to `scan` one after the other."""
    for case in STEPS:
        judge = Judge("scan", case.id, "float64", "scan", {})
        try:
            yield from _step_agrees(judge, case)
        except Exception as error:
            yield judge.raised("runs", error)


def _step_agrees(judge: Judge, case: StepCase) -> Iterator[Result]:
    """What a step gives is its own, whatever step like it was there before."""
    for ragged, reverse in ((False, False), (True, False), (False, True)):
        for version, order in enumerate(("first", "then")):
            found = _measure(case.run(version, ragged, reverse))
            expected = _measure(case.by_hand(version, ragged, reverse))
            words = "lengths" * ragged, "reverse" * reverse, order
            for what, tensors in found.items():
                check = " ".join(filter(None, [*words, what]))
                yield from _agree(judge, f"{check}:", tensors, expected[what], False)
    yield judge.demand("is fused", case.is_fused(), "it runs op by op")


@contextmanager
def threads(n: int) -> Iterator[None]:
    """As many threads, inside."""
    before = mg.get_num_threads()
    mg.set_num_threads(n)
    try:
        yield
    finally:
        mg.set_num_threads(before)


def _owed(judge: Judge, exact: bool) -> bool:
    """Whether there is anything to compare: the plain twin owes no bits."""
    return judge.dtype == "float64" or (exact and _is_compiled())


def _is_compiled() -> bool:
    return bool(_backend.loop.SIMD != "numpy")


def _agree(
    judge: Judge, what: str, found: Arrays, expected: Arrays, exact: bool
) -> Iterator[Result]:
    """To the bit if that is owed."""
    if _owed(judge, exact):
        compare = judge.equal if exact and _is_compiled() else judge.related
        for name, array in expected.items():
            yield compare(f"{what} {name}", found[name], array)


def _call(case: LoopCase, layer: Any, leaves: Tensors, **options: Any) -> Tensors:
    state = tuple(leaves[f"{name}_0"] for name in case.kind.carry)
    given = {name: leaves[name] for name in case.kind.data}
    options = {"lengths": case.lengths, **options}
    hx = state if len(state) > 1 else state[0]
    output, last = layer(leaves["x"], hx, **options, **given)
    states = last if isinstance(last, tuple) else (last,)
    names = [f"{name}_n" for name in case.kind.carry]
    return {"output": output, **dict(zip(names, states, strict=True))}


def _run(case: LoopCase, subject: Any, **options: Any) -> Run:
    """In float32, no gradient is asked for by the initial states."""
    layer, arrays = case.layer(subject), case.inputs()
    states = [f"{name}_0" for name in case.kind.carry if case.dtype == "float32"]
    constants = {n: MINIGRAD.tensor(arrays.pop(n), False) for n in states}
    leaves = MINIGRAD.leaves(arrays)
    outputs = _call(case, layer, {**leaves, **constants}, **options)
    return Run(MINIGRAD, {**leaves, **dict(layer.named_parameters())}, outputs)


def _measure(done: Run) -> Measured:
    """The outputs, and the gradient for cotangents of all of them."""
    values = done.values
    rng = stream("cotangents", *values)
    seeds = {
        name: np.asarray(rng.standard_normal(array.shape), array.dtype)
        for name, array in values.items()
    }
    return {"value": values, "grad": done.gradients(seeds)}


def _values(tensors: Mapping[str, Any]) -> Arrays:
    return {name: MINIGRAD.read(tensor) for name, tensor in tensors.items()}
