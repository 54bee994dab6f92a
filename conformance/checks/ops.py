"""What is checked of an op: its samples, its errors, its accuracy everywhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigrad.errors import MinigradError
from minigrad.op import Op
from minigrad.samples import BadSample, Sample

from .. import policy
from ..cases import AXES, stream
from ..judge import Judge, Pair
from ..reference.twins import call_twin, has_twin, to_torch
from ..result import Result
from ..tape import MINIGRAD, STRIDED, TORCH, Arrays, Run, Tape, measure
from . import ulp
from .differences import difference_errors

DTYPES = AXES["dtype"]
# PyTorch takes no gradient by these floats.
CONSTANT = {
    "nll_loss": {"weight"},
    "cross_entropy": {"weight"},
    "binary_cross_entropy_with_logits": {"weight", "pos_weight"},
}


@dataclass(frozen=True)
class OpCase:
    """One sample of an op, in one dtype and layout."""

    op: Op
    number: int
    dtype: str
    strided: bool = False

    @property
    def family(self) -> str:
        """A sample is a family: one that is ill-conditioned excuses no other."""
        return f"{group_of(self.op)}/{self.number}"

    @property
    def is_measured(self) -> bool:
        """As `LayerCase.is_measured`; strides don't change what PyTorch errs."""
        return not self.strided

    @property
    def id(self) -> str:
        """What names it, such as "mg.tanh/0/strided/f32"."""
        layout = ["strided"] if self.strided else []
        return "/".join([self.family, *layout, DTYPES[self.dtype]])

    @property
    def sample(self) -> Sample:
        """What the op table says."""
        return self.op.samples[self.number]

    def arguments(self, seed: int = 0) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The sample's arguments; the layout doesn't change them."""
        rng = stream(self.op.name, self.number, self.dtype, seed)
        return self.sample.make(rng, self.dtype)


def group_of(op: Op) -> str:
    """What the report calls an op."""
    return f"mg.{op.name}"


def op_cases(op: Op) -> list[OpCase]:
    """Samples x dtypes x layouts."""
    return [
        OpCase(op, number, dtype, strided)
        for number in range(len(op.samples))
        for dtype in DTYPES
        for strided in (False, True)
    ]


def check_op(op: Op, errors: policy.Errors | None = None) -> Iterator[Result]:
    """Every check of one op. What raises is a failure like any other."""
    errors = policy.recorded() if errors is None else errors
    group = group_of(op)
    overall = Judge(group, group, "", group, errors)
    has_both = bool(op.samples and op.errors)
    detail = "an op states samples and calls that it refuses"
    yield overall.demand("has samples and errors", has_both, detail)
    for case in op_cases(op):
        judge = Judge(group, case.id, case.dtype, case.family, errors)
        try:
            yield from _check_sample(judge, case)
        except Exception as error:
            yield judge.raised("runs", error)
    for number, bad in enumerate(op.errors):
        judge = Judge(group, f"{group}/bad{number}", "", group, errors)
        yield _refused(judge, op, bad)
    if op.elementwise:
        for dtype in DTYPES:
            judge = Judge(group, f"{group}/ulp/{DTYPES[dtype]}", dtype, group, errors)
            try:
                yield from ulp.check(judge, op, op.run)
            except Exception as error:
                yield judge.raised("runs over the whole range", error)


def leaves_of(op: Op, arguments: Any) -> Arrays:
    """The float arrays among arguments, by where they stand."""
    args, kwargs = arguments
    constant = CONSTANT.get(op.name, set())
    places = {**{str(i): v for i, v in enumerate(args)}, **kwargs}
    flat: dict[str, Any] = {}
    for name, value in places.items():
        if isinstance(value, list):
            flat |= {f"{name}.{i}": item for i, item in enumerate(value)}
        else:
            flat[name] = value
    return {
        name: value
        for name, value in flat.items()
        if name not in constant
        and isinstance(value, np.ndarray)
        and value.dtype.kind == "f"
    }


def _fill(arguments: Any, leaves: dict[str, Any], other: Callable[[Any], Any]) -> Any:
    """The arguments with tensors for the leaves, and `other` of everything else."""

    def place(name: str, value: Any) -> Any:
        if isinstance(value, list):
            return [place(f"{name}.{i}", item) for i, item in enumerate(value)]
        return leaves[name] if name in leaves else other(value)

    args, kwargs = arguments
    return (
        tuple(place(str(i), value) for i, value in enumerate(args)),
        {name: place(name, value) for name, value in kwargs.items()},
    )


def _run(op: Op, call: Any, tape: Tape, arguments: Any, other: Any) -> Run:
    leaves = tape.leaves(leaves_of(op, arguments))
    args, kwargs = _fill(arguments, leaves, other)
    result = call(*args, **kwargs)
    if not isinstance(result, tuple):
        return Run(tape, leaves, {"output": result})
    return Run(tape, leaves, {f"output {i}": part for i, part in enumerate(result)})


def run_subject(case: OpCase, arguments: Any) -> Run:
    """The sample on the op under test."""
    tape = STRIDED[MINIGRAD] if case.strided else MINIGRAD

    def other(value: Any) -> Any:
        return tape.tensor(value, False) if isinstance(value, np.ndarray) else value

    return _run(case.op, case.op.run, tape, arguments, other)


def run_torch(op: Op, arguments: Any, dtype: Any) -> Run:
    """The sample on the op's twin, its floats in `dtype`."""

    def cast(value: Any) -> Any:
        if isinstance(value, list):
            return [cast(item) for item in value]
        is_float = isinstance(value, np.ndarray) and value.dtype.kind == "f"
        return value.astype(dtype) if is_float else value

    args, kwargs = arguments
    wide = tuple(map(cast, args)), {name: cast(v) for name, v in kwargs.items()}

    def call(*args: Any, **kwargs: Any) -> Any:
        return call_twin(op, args, kwargs)

    return _run(op, call, TORCH, wide, to_torch)


def _seeds(case: OpCase, done: Run, seed: int = 0) -> tuple[Arrays, Arrays]:
    """Cotangents of the float outputs, and directions for the leaves."""
    rng = stream(case.op.name, case.number, case.dtype, "seeds", seed)

    def draw(arrays: Arrays) -> Arrays:
        return {
            name: np.asarray(rng.standard_normal(array.shape), array.dtype)
            for name, array in arrays.items()
            if array.dtype.kind == "f"
        }

    return draw(done.values), draw(done.inputs)


def _check_sample(judge: Judge, case: OpCase) -> Iterator[Result]:
    """Value, gradients and second derivatives against the twin; and differences."""
    arguments = case.arguments()
    done = run_subject(case, arguments)
    cotangents, directions = _seeds(case, done)
    seconds = None if case.sample.kink else directions
    if has_twin(case.op):
        found = measure(done, cotangents, seconds)
        same, wide = (
            measure(run_torch(case.op, arguments, dtype), cotangents, seconds)
            for dtype in (case.dtype, np.float64)
        )
        for what, tensors in wide.items():
            for name, reference in tensors.items():
                dtype = same[what][name].dtype
                yield judge.close(what, name, found[what][name], reference, dtype)
    elif case.op.linear and case.dtype == "float64":
        yield _adjoint(judge, done, cotangents)
    narrowed = any(str(y.dtype) == "float32" for y in done.outputs.values())
    if case.dtype == "float64" and not case.sample.kink and not narrowed:
        gradients = done.gradients(cotangents)

        def function(leaves: Arrays) -> Arrays:
            return run_subject(case, _fill(arguments, leaves, lambda v: v)).values

        for name, error in difference_errors(
            function, done.inputs, cotangents, gradients, directions
        ):
            yield judge.differenced(f"differences: {name}", error)


def _adjoint(judge: Judge, done: Run, cotangents: Arrays) -> Result:
    """<u, f(v)> = <f'(u), v>: a linear op without a twin is held to that."""
    gradients, values = done.gradients(cotangents), done.values
    back = [np.sum(gradients[name] * v) for name, v in done.inputs.items()]
    there = [np.sum(u * values[name]) for name, u in cotangents.items()]
    check = "linear: <u, f(v)> = <f'(u), v>"
    return judge.related(check, np.array(sum(back)), np.array(sum(there)))


def _refused(judge: Judge, op: Op, bad: BadSample) -> Result:
    """A bad call raises its own error, which says what it should."""
    args, kwargs = bad.make(stream(judge.case), "float32")
    expected = f"{bad.error.__name__} with {bad.match!r}"
    try:
        op.run(*args, **kwargs)
    except MinigradError as error:
        met = isinstance(error, bad.error) and bool(re.search(bad.match, str(error)))
        detail = f"raised {type(error).__name__}: {error}; expected {expected}"
        return judge.demand("is refused", met, detail)
    except Exception as error:
        return judge.raised("is refused", error)
    return judge.demand("is refused", False, f"returned; expected {expected}")


def torch_pair(case: OpCase, seed: int) -> Pair:
    """The sample on the twin in float32, and in float64 on the same data."""
    arguments = case.arguments(seed)
    narrow = run_torch(case.op, arguments, np.float32)
    cotangents, directions = _seeds(case, narrow, seed)
    seconds = None if case.sample.kink else directions
    wide = run_torch(case.op, arguments, np.float64)
    return measure(narrow, cotangents, seconds), measure(wide, cotangents, seconds)
