"""Reverse mode: walk the recorded nodes from the newest to the oldest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _backend, anomaly, ops
from ._backend import Node, TensorCore, wrap
from ._tape_walk_py import Slot, reachable, was_freed
from .errors import (
    ArgumentError,
    DTypeError,
    GraphError,
    ShapeError,
    kept_stand_in,
    type_name,
)
from .mode import enable_grad, is_tracing, no_grad, refuse_in_step

if TYPE_CHECKING:
    from .tensor import Tensor

__all__ = ["backward", "grad", "reachable", "was_freed"]


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradient of the outputs with respect to each input, as a tuple.

    grad_outputs: a cotangent for each output, of its shape; None is 1 for a scalar.
    retain_graph: keep the graph for another pass; create_graph by default.
    create_graph: record the pass, so that its results can be differentiated.
    allow_unused: give None for an input that the outputs do not depend on.

    Raises GraphError if an input does not require grad or is unused, ShapeError and
    DTypeError for a cotangent that does not fit, ArgumentError without an input. Only
    what lies between the outputs and the inputs is walked, and let go.

    >>> import minigrad as mg
    >>> x = mg.tensor(3.0, requires_grad=True)
    >>> (dx,) = mg.grad(x**3, x, create_graph=True)
    >>> mg.grad(dx, x)
    (tensor(18.),)
    """
    outputs = listed(outputs)
    inputs = listed(inputs)
    if not inputs:
        raise ArgumentError("grad: give an input to differentiate by")
    seeds = [None] * len(outputs) if grad_outputs is None else listed(grad_outputs)
    for i, x in enumerate(inputs):
        if not isinstance(x, TensorCore):
            check_tensor(x, f"grad: input {i}")
        if x._node is None:
            raise GraphError(
                f"grad: input {i} does not require grad; create it with "
                "requires_grad=True before it is used"
            )
    wanted = [(x._node, x._slot) for x in inputs]
    results = _walked(outputs, seeds, wanted, retain_graph, create_graph)
    for i, g in enumerate(results):
        if g is None and not allow_unused:
            raise GraphError(
                f"grad: the outputs do not depend on input {i}; "
                "pass allow_unused=True to get None for it"
            )
    return tuple(results)


def backward(
    outputs: Sequence[Tensor],
    cotangents: Sequence[Tensor | None],
    retain_graph: bool | None = None,
    create_graph: bool = False,
) -> None:
    """Add the gradient of the outputs to `.grad` of every leaf, all of them or none."""
    refuse_in_step("backward()", "use grad(), which returns the gradients")
    leaves = _walked(outputs, cotangents, None, retain_graph, create_graph)
    found = [(node, g) for node, g in leaves if not node.frozen]
    if any([node.grad is not None for node, _ in found]):
        recorded = create_graph or is_tracing()
        with enable_grad() if recorded else no_grad():
            found = [(n, g if n.grad is None else n.grad + g) for n, g in found]
        if not recorded:
            found = [(n, _continued(n.grad, g)) for n, g in found]
    for node, total in found:
        node.grad = total


def _continued(before: Any, total: Any) -> Any:
    """The total with the history that an earlier pass with create_graph left.

    Not by an op: of every pass that adds to it one would be kept, with its gradient.
    """
    if before is None or before._node is None:
        return total
    return wrap(total._data, before._node, before._slot)


def check_cotangent(g: Any, y: Tensor, name: str) -> None:
    """Refuse a cotangent that is not a Tensor of y's shape and dtype."""
    check_tensor(g, name)
    if g.shape != y.shape:
        raise ShapeError(f"{name} must have the shape {y.shape}; it has {g.shape}")
    if g.dtype != y.dtype:
        raise DTypeError(f"{name} must be {y.dtype}; it is {g.dtype}")


def check_tensor(value: Any, name: str) -> None:
    """Refuse what is not a Tensor."""
    if not isinstance(value, TensorCore):
        raise DTypeError(f"{name} must be a Tensor, not {type_name(value)}")


def check_values(tensor: Any, name: str) -> None:
    """Refuse a tensor that only stood for others, once its trace is over."""
    if tensor._node is not None and tensor._node.stand_in and not is_tracing():
        raise kept_stand_in(name)


def listed(value: Any) -> list[Any]:
    """One tensor, or any iterable of them, such as `module.parameters()`."""
    if type(value) is list:  # asking an abstract class takes a microsecond
        return [*value]
    one = isinstance(value, TensorCore) or not isinstance(value, Iterable)
    return [value] if one else list(value)


def _walked(
    outputs: Sequence[Any],
    cotangents: Sequence[Any],
    wanted: Sequence[Slot] | None,
    retain_graph: bool | None,
    create_graph: bool,
) -> list[Any]:
    """Check what is given, and walk; see `_tape_walk_py.walk` for what it returns."""
    if len(cotangents) != len(outputs):
        raise ShapeError(
            f"{len(outputs)} outputs need as many cotangents, not {len(cotangents)}"
        )
    recorded = create_graph or is_tracing()
    retain = is_tracing() or (create_graph if retain_graph is None else retain_graph)
    seeds = [_seed(y, g, recorded) for y, g in zip(outputs, cotangents, strict=True)]
    return _backend.walk(outputs, seeds, wanted, retain, recorded)


def _seed(y: Any, g: Any, recorded: bool) -> Any:
    """The cotangent of an output."""
    check_tensor(y, "an output")
    check_values(y, "an output")
    if y._node is None:
        raise GraphError(
            "an output does not require grad and was not computed from anything that "
            "does; create its inputs with requires_grad=True"
        )
    if g is None:
        if y.numel() != 1:
            raise GraphError(
                f"the gradient of an output of shape {y.shape} needs a cotangent of "
                "that shape; only a scalar has one by default"
            )
        return wrap(_ones(y.shape, y.dtype))
    check_cotangent(g, y, "the cotangent of an output")
    return g if recorded else wrap(g._data)


_ones = lru_cache(16)(np.ones)  # nobody writes to a Tensor's array


def hooked(node: Node, slot: int, g: Any, recorded: bool) -> Any:
    """The cotangent after the hooks of that output, in the order they were added."""
    for at, hook in list(node.hooks.values()):
        new = hook(g) if at == slot else None
        if new is not None:
            check_cotangent(new, g, "what a hook returns")
            g = new if recorded else wrap(new._data)
    return g


def pull(
    node: Node, gs: list[Any], needed: list[bool], recorded: bool, watched: bool
) -> Iterator[tuple[int, Any]]:
    """The cotangent of each needed input, from those of the outputs, by the op's VJPs.

    What the VJPs read has its history only if the pass itself is recorded.
    """
    op = node.op
    if op.joint is not None:
        yield from op.joint(node, gs, needed, recorded)
        return
    args, ys = read_back(node, recorded)
    positions = op.places(node.args)
    g, y = (tuple(gs), tuple(ys)) if op.returns_tuple else (gs[0], ys[0])
    for i, position in enumerate(positions):
        name = op.names[0 if op.variadic else i]
        vjp = op.vjps.get(name)
        if not needed[i] or vjp is None:
            continue
        if op.variadic:
            n = len(positions)
            result = vjp(i, g, y, tuple(args[:n]), *args[n:])
        else:
            result = vjp(g, y, *args)
        if watched:
            anomaly.check_vjp(node, name, result)
        given = args[position]
        is_float = given.dtype.kind == "f"  # a trace records masks, too
        if is_float and isinstance(result, TensorCore) and result.dtype != given.dtype:
            refuse_kind(op, position, result.dtype, given.dtype)
        shape = given.shape
        yield i, result if result.shape == shape else ops.sum_to(result, shape)


def refuse_kind(op: Any, position: int, found: Any, expected: Any) -> None:
    """Raise DTypeError for a VJP that gives another dtype than its input has."""
    raise DTypeError(
        f"{op.name}: the VJP of {op.params[min(position, len(op.params) - 1)]} gives "
        f"{found}, and the input is {expected}; numpy's float64 numbers make float32 "
        "wide, Python's don't"
    )


def read_back(node: Node, recorded: bool) -> tuple[list[Any], list[Any]]:
    """A node's arguments and outputs as Tensors, with their history if asked for."""
    ys = [wrap(v, node if recorded else None, i) for i, v in enumerate(node.values)]
    args = list(node.args)
    for i, position in enumerate(node.op.places(node.args)):
        if isinstance(args[position], np.ndarray):
            parent = node.parents[i] if recorded else None
            args[position] = wrap(args[position], parent, node.slots[i])
    return args, ys


_backend.set_tape(pull, hooked, ops.sum_to, refuse_kind)
