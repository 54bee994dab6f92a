"""Derivatives against finite differences in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import ops, tape
from .errors import ArgumentError, DTypeError, MinigradError, check_callable, describe
from .snippet import snippet
from .tensor import Tensor

Matrix = np.ndarray[Any, Any]

FINITE_DIFFERENCE = 1e-6
"""The largest difference, relative to the largest entry of the Jacobian."""

STEP = 1e-6  # truncation of order 1e-12, rounding of order 1e-10: both far below


class GradcheckError(MinigradError, AssertionError):
    """An analytic derivative that finite differences contradict."""


@dataclass(frozen=True)
class Mismatch:
    """The worst element: d output[at_output] / d input[at_input], by both ways.

    The places are flat indices; None if only a direction was looked at.
    """

    output: int
    input: int
    at_output: int | None
    at_input: int | None
    said: float
    numeric: float

    @property
    def off(self) -> float:
        """How far apart the two are; infinite if one is NaN."""
        off = abs(self.said - self.numeric)
        return off if off == off else np.inf

    def __str__(self) -> str:
        both = f"is {self.said!r}; finite differences say {self.numeric!r}"
        if self.at_output is None:
            pair = f"output {self.output} / d input {self.input}"
            return f"d {pair} along a random direction {both}"
        return (
            f"d output {self.output}[{self.at_output}] / d input "
            f"{self.input}[{self.at_input}] (flat indices) {both}"
        )


def gradcheck(
    fn: Callable[..., Any],
    inputs: Sequence[Any],
    raise_exception: bool = True,
    *,
    directional: bool = False,
    seed: int = 0,
) -> bool:
    """Compare every entry of fn's Jacobian with central differences.

    fn: Tensors -> a Tensor or a tuple of them. inputs: float64 tensors that require
    grad are differentiated, the others are passed on as they are. A float output that
    does not require grad claims that its derivative is zero.
    directional: compare one product u·Jv for each output and input instead, which
    takes two calls of fn an input whatever its size. No component of u and v is small,
    so that no entry of J can hide; they are drawn from `seed`. What fails is then
    compared in full.

    Raises GradcheckError, which names the worst entry and ends in a snippet that
    repeats it, or returns False; DTypeError for a derivative in float32, ArgumentError
    if there is nothing to check, or if fn reads an input that is not its argument.

    >>> x = Tensor(np.array([0.5, 2.0]), requires_grad=True)
    >>> gradcheck(lambda x: x.log() * x, [x])
    True
    """
    found = mismatch(fn, inputs, directional, seed)
    if found is not None and raise_exception:
        text = snippet("gradcheck", fn, inputs)
        raise GradcheckError(f"gradcheck: {found}\n\n{text}")
    return found is None


def mismatch(
    fn: Callable[..., Any],
    inputs: Sequence[Any],
    directional: bool = False,
    seed: int = 0,
) -> Mismatch | None:
    """What gradcheck would report: the worst element, or None if all agree."""
    prepared = _prepare(fn, inputs)
    with np.errstate(invalid="ignore"):
        along = _along_directions(fn, *prepared, seed) if directional else []
        if directional and not along:
            return None
        found = _in_full(fn, *prepared) or along
    return max(found, key=lambda m: m.off, default=None)


def gradgradcheck(
    fn: Callable[..., Any],
    inputs: Sequence[Any],
    raise_exception: bool = True,
    *,
    directional: bool = False,
    seed: int = 0,
) -> bool:
    """gradcheck of fn's own gradient, by its inputs and by the cotangents."""
    found = mismatch(*gradient_of(fn, inputs), directional, seed)
    if found is not None and raise_exception:
        text = snippet("gradgradcheck", fn, inputs)
        raise GradcheckError(f"gradgradcheck: of the gradient, {found}\n\n{text}")
    return found is None


def gradient_of(
    fn: Callable[..., Any], inputs: Sequence[Any]
) -> tuple[Callable[..., Any], list[Any]]:
    """(gradient, inputs): fn's VJP as a function of its inputs and its cotangents."""
    rng = np.random.default_rng(0)
    _, _, outputs = _prepare(fn, inputs)
    cotangents = [
        Tensor(rng.uniform(0.5, 1.5, y.shape), np.float64, requires_grad=True)
        for y in outputs
        if y.requires_grad
    ]

    def gradient(*values: Any) -> tuple[Tensor, ...]:
        given, seeds = values[: len(inputs)], values[len(inputs) :]
        trained = [x for x in given if _is_trained(x)]
        outputs = [y for y in _float_outputs(fn(*given)) if y.requires_grad]
        found = tape.grad(outputs, trained, seeds, create_graph=True, allow_unused=True)
        pairs = zip(found, trained, strict=True)
        return tuple(ops.zeros_like(x) if g is None else g for g, x in pairs)

    return gradient, [*inputs, *cotangents]


def _prepare(
    fn: Any, inputs: Sequence[Any]
) -> tuple[list[int], list[Any], list[Tensor]]:
    """Where the trained inputs stand, the inputs as leaves, and the float outputs."""
    check_callable(fn, "gradcheck: fn")
    if not isinstance(inputs, tuple | list):
        raise ArgumentError(
            f"gradcheck: inputs must be in a list, not {describe(inputs)}"
        )
    places = [i for i, x in enumerate(inputs) if _is_trained(x)]
    leaves = [_leaf(x, x._data) if _is_trained(x) else x for x in inputs]
    outputs = _float_outputs(fn(*leaves)) if places else []
    if not outputs:
        raise ArgumentError(
            "gradcheck: nothing to check; give an input that requires grad, and a "
            "function with a float output"
        )
    _check_arguments_are_used(inputs, outputs)
    for name, tensors in ("input", [leaves[i] for i in places]), ("output", outputs):
        if any(x.dtype != np.float64 for x in tensors):
            raise DTypeError(f"gradcheck: an {name} is float32; use .double() leaves")
    return places, leaves, outputs


def _check_arguments_are_used(inputs: Sequence[Any], outputs: list[Tensor]) -> None:
    """Refuse a function of the inputs themselves, which stay as they are.

    Both derivatives by its arguments are zero then, and agree whatever is wrong.
    """
    read = tape.reachable([y._node for y in outputs if y._node is not None])
    for i, x in enumerate(inputs):
        if _is_trained(x) and x.is_leaf and x._node in read:
            raise ArgumentError(
                f"gradcheck: the function reads input {i} itself, not the argument "
                "that stands for it and is moved; compute the outputs from the "
                "arguments"
            )


def _is_trained(x: Any) -> bool:
    return isinstance(x, Tensor) and x.requires_grad


def _leaf(x: Tensor, values: Matrix) -> Tensor:
    return Tensor(values, x.dtype, requires_grad=True)


def _float_outputs(result: Any) -> list[Tensor]:
    found = result if isinstance(result, tuple) else (result,)
    for i, y in enumerate(found):
        tape.check_tensor(y, f"gradcheck: output {i} of the function")
    return [y for y in found if y.dtype.kind == "f"]


def _in_full(
    fn: Any, places: list[int], leaves: list[Any], outputs: list[Tensor]
) -> list[Mismatch]:
    """The worst entry of each block of the Jacobian that has a wrong one."""
    analytic = [_by_tape(y, [leaves[i] for i in places]) for y in outputs]
    found = []
    for column, i in enumerate(places):
        for j, numeric in enumerate(_by_differences(fn, leaves, i)):
            said = analytic[j][column]
            finite = np.abs(numeric[np.isfinite(numeric)])
            k = _worst(said, numeric, float(finite.max(initial=0.0)))
            if k is not None:
                row, element = divmod(k, numeric.shape[1])
                pair = float(said.flat[k]), float(numeric.flat[k])
                found.append(Mismatch(j, i, row, element, *pair))
    return found


def _along_directions(
    fn: Any, places: list[int], leaves: list[Any], outputs: list[Tensor], seed: int
) -> list[Mismatch]:
    """The products u·Jv that are wrong: one u for each output, one v for each input."""
    rng = np.random.default_rng(seed)
    us = [_direction(rng, y.shape) for y in outputs]
    vs = {i: _direction(rng, leaves[i].shape) for i in places}
    trained = [leaves[i] for i in places]
    pulled = [_pull(y, u, trained) for y, u in zip(outputs, us, strict=True)]
    found = []
    for column, i in enumerate(places):
        differences = _differences(fn, leaves, i, vs[i])
        for j, (u, slope) in enumerate(zip(us, differences, strict=True)):
            said, numeric = np.sum(pulled[j][column] * vs[i]), np.sum(u * slope)
            # Terms that cancel leave their rounding, which is no error of the sum.
            scale = float(np.abs(u * slope).sum())
            if _worst(said, numeric, scale) is not None:
                found.append(Mismatch(j, i, None, None, float(said), float(numeric)))
    return found


def _direction(rng: np.random.Generator, shape: tuple[int, ...]) -> Matrix:
    """Random, with no small component."""
    sign = np.where(rng.random(shape) < 0.5, -1.0, 1.0)
    return np.asarray(sign * rng.uniform(0.5, 1.5, shape))


def _pull(y: Tensor, u: Matrix, leaves: list[Tensor]) -> list[Matrix]:
    """The VJP of y at u, by the tape."""
    if not y.requires_grad:
        return [np.zeros(x.shape) for x in leaves]
    found = tape.grad(y, leaves, Tensor(u), retain_graph=True, allow_unused=True)
    return [
        np.zeros(x.shape) if g is None else g.detach().numpy()
        for g, x in zip(found, leaves, strict=True)
    ]


def _by_tape(y: Tensor, leaves: list[Tensor]) -> list[Matrix]:
    """The Jacobian of y by each leaf, a row at a time by the tape."""
    jacobians = [np.zeros((y.numel(), x.numel())) for x in leaves]
    for k in range(y.numel() if y.requires_grad else 0):
        rows = _pull(y, _unit(y.shape, k), leaves)
        for jacobian, row in zip(jacobians, rows, strict=True):
            jacobian[k] = row.reshape(-1)
    return jacobians


def _by_differences(fn: Any, leaves: list[Any], i: int) -> list[Matrix]:
    """The Jacobian of each output by leaf i, a column at a time, by differences."""
    n = leaves[i].numel()
    jacobians = [np.zeros((y.numel(), n)) for y in _float_outputs(fn(*leaves))]
    for k in range(n):
        columns = _differences(fn, leaves, i, _unit(leaves[i].shape, k))
        for jacobian, column in zip(jacobians, columns, strict=True):
            jacobian[:, k] = column.reshape(-1)
    return jacobians


@np.errstate(invalid="ignore")
def _differences(fn: Any, leaves: list[Any], i: int, v: Matrix) -> list[Matrix]:
    """The slope of each output along v at leaf i, by a central difference."""
    ends = []
    for step in (STEP, -STEP):
        moved = _leaf(leaves[i], leaves[i].detach().numpy() + step * v)
        result = fn(*leaves[:i], moved, *leaves[i + 1 :])
        ends.append([y.detach().numpy() for y in _float_outputs(result)])
    return [(up - down) / (2 * STEP) for up, down in zip(*ends, strict=True)]


def _unit(shape: tuple[int, ...], k: int) -> Matrix:
    one = np.zeros(shape)
    one.reshape(-1)[k] = 1.0
    return one


@np.errstate(invalid="ignore")
def _worst(said: Any, numeric: Any, scale: float) -> int | None:
    """The flat index at which the two differ most; None if they agree."""
    off = np.abs(np.asarray(said) - numeric)
    if np.all(off <= FINITE_DIFFERENCE * max(scale, 1.0)):
        return None
    return int(np.nan_to_num(off, nan=np.inf).argmax())
