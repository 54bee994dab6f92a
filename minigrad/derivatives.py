"""Derivatives of functions: VJP, JVP, Hessian-vector product, Jacobian, Hessian.

What they return can be differentiated again, by the inputs and by whatever else the
function used. A function is differentiated by its arguments alone: a tensor that it
captured counts as a constant, even if it was computed from one of the inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import ops, tape
from ._backend import Node, wrap
from .errors import ArgumentError, DTypeError, ShapeError, check_callable, describe
from .mode import enable_grad, is_grad_enabled
from .tensor import Tensor

Tensors = tuple[Tensor, ...]


def vjp(fn: Callable[..., Any], *inputs: Tensor) -> tuple[Any, Callable[[Any], Any]]:
    """What fn returns, and `pull`: cotangents of the outputs -> those of the inputs.

    fn: float Tensors -> a float Tensor or a tuple of them. pull takes what has the
    structure, the shapes and the dtypes of the outputs, any number of times, and
    returns a tuple; an input that no output depends on gets zeros. As torch.func.vjp.

    Raises DTypeError and ShapeError for what does not fit.

    >>> import minigrad as mg
    >>> y, pull = mg.vjp(lambda x: x**2, mg.tensor([1.0, 2.0]))
    >>> y, pull(mg.tensor([1.0, 10.0]))
    (tensor([1., 4.]), (tensor([ 2., 40.]),))
    """
    xs = _arguments("vjp", inputs)
    result = _call("vjp", fn, xs)
    ys = _items(result)

    def pull(cotangents: Any) -> Tensors:
        gs = _items(cotangents)
        _check_alike("vjp: cotangent", gs, ys)
        return _without_own(_pulled(ys, xs, gs, is_grad_enabled()), xs)

    return _shaped_as(result, _without_own(ys, xs)), pull


def jvp(
    fn: Callable[..., Any], inputs: Sequence[Tensor], tangents: Sequence[Tensor]
) -> tuple[Any, Any]:
    """What fn returns, and its derivative along the tangents, of the same structure.

    tangents: one for each input, of its shape and dtype. As torch.func.jvp. It needs no
    rules of its own: the VJP is linear in the cotangent, and the transpose of a linear
    map is its VJP, so that differentiating a VJP by the cotangent gives the JVP
    (J. Townsend, "A new trick for calculating Jacobian vector products", 2017).

    Raises DTypeError and ShapeError for what does not fit.

    >>> import minigrad as mg
    >>> x, t = mg.tensor([1.0, 2.0]), mg.tensor([1.0, 0.5])
    >>> mg.jvp(lambda x: x**2, (x,), (t,))
    (tensor([1., 4.]), tensor([2., 2.]))
    """
    xs = _arguments("jvp", inputs)
    _check_alike("jvp: tangent", tangents, inputs)
    result = _call("jvp", fn, xs)
    ys = _items(result)
    seeds = tuple(wrap(np.zeros(y.shape, y.dtype), Node()) for y in ys)
    with enable_grad():
        pulled = _pulled(ys, xs, seeds, True)
    moved = _pulled(pulled, seeds, tangents, is_grad_enabled())
    own = (*xs, *seeds)
    pair = _without_own(ys, own), _without_own(moved, own)
    return _shaped_as(result, pair[0]), _shaped_as(result, pair[1])


def hvp(
    fn: Callable[..., Any], inputs: Sequence[Tensor], vectors: Sequence[Tensor]
) -> tuple[Tensor, Tensors]:
    """The scalar that fn returns, and its Hessian times the vectors, one an input.

    vectors: one for each input, of its shape and dtype. The Hessian is symmetric, so
    this is the gradient's own VJP. As torch.autograd.functional.hvp.

    Raises DTypeError and ShapeError for what does not fit.

    >>> import minigrad as mg
    >>> x, v = mg.tensor([1.0, 2.0]), mg.tensor([1.0, 1.0])
    >>> mg.hvp(lambda x: (x**3).sum(), (x,), (v,))
    (tensor(9.), (tensor([ 6., 12.]),))
    """
    xs = _arguments("hvp", inputs)
    _check_alike("hvp: vector", vectors, inputs)
    ys = _scalar("hvp", fn, xs)
    with enable_grad():
        one = wrap(np.ones((), ys[0].dtype))
        gradient = _pulled(ys, xs, (one,), True)
    products = _pulled(gradient, xs, vectors, is_grad_enabled())
    return _without_own(ys, xs)[0], _without_own(products, xs)


def jacobian(fn: Callable[..., Any], *inputs: Tensor) -> Any:
    """The derivative of every element of fn's output by every element of its inputs.

    A Tensor of the output's shape followed by the input's, computed a row at a time by
    the VJP; for several inputs a tuple of them, and, if fn returns a tuple or a list,
    a tuple of those, one an output. As torch.autograd.functional.jacobian.

    Raises DTypeError for what is not a float Tensor.

    >>> import minigrad as mg
    >>> mg.jacobian(lambda x: x * x.sum(), mg.tensor([1.0, 2.0]))
    tensor([[4., 1.],
            [2., 5.]])
    """
    xs = _arguments("jacobian", inputs)
    result = _call("jacobian", fn, xs)
    found = []
    for y in _items(result):
        blocks = _without_own(_rows(y, xs), xs)
        found.append(blocks if len(xs) > 1 else blocks[0])
    return tuple(found) if isinstance(result, tuple | list) else found[0]


def hessian(fn: Callable[..., Any], *inputs: Tensor) -> Any:
    """The Jacobian of the gradient of fn, which returns a scalar.

    A Tensor of the input's shape twice; for several inputs a tuple of tuples.

    Raises ShapeError if fn returns anything but one scalar.

    >>> import minigrad as mg
    >>> mg.hessian(lambda x: (x**3).sum(), mg.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """

    def scalar(*xs: Tensor) -> Tensor:
        return _scalar("hessian", fn, xs)[0]

    return jacobian(lambda *xs: jacobian(scalar, *xs), *inputs)


def _rows(y: Tensor, xs: Tensors) -> Tensors:
    """The Jacobian of y by each x, a row of it for each element of y."""
    rows: list[Tensors] = []
    for k in range(y.numel()):
        one = np.zeros(y.shape, y.dtype)
        one.reshape(-1)[k] = 1.0
        rows.append(_pulled((y,), xs, (wrap(one),), is_grad_enabled()))
    shapes = [(*y.shape, *x.shape) for x in xs]
    if not rows:
        return tuple(wrap(np.zeros(shape, y.dtype)) for shape in shapes)
    columns = zip(*rows, strict=True)
    return tuple(
        ops.reshape(ops.stack(list(column)), shape)
        for column, shape in zip(columns, shapes, strict=True)
    )


def _items(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,)


def _shaped_as(result: Any, items: Tensors) -> Any:
    return items if isinstance(result, tuple | list) else items[0]


def _arguments(name: str, inputs: Sequence[Tensor]) -> Tensors:
    """The inputs under new nodes, so that nothing else leads to them."""
    if not isinstance(inputs, tuple | list):  # a Tensor would be taken for its rows
        raise ArgumentError(
            f"{name}: inputs must be in a tuple, not {describe(inputs)}; make it "
            "(inputs,)"
        )
    if not inputs:
        raise ArgumentError(f"{name}: give an input to differentiate by")
    for i, x in enumerate(inputs):
        _check_float(x, f"{name}: input {i}")
    if not is_grad_enabled():
        return tuple(wrap(x._data, Node()) for x in inputs)
    return tuple(
        ops.reshape(x, x.shape) if x._node is not None else wrap(x._data, Node())
        for x in inputs
    )


def _call(name: str, fn: Callable[..., Any], xs: Tensors) -> Any:
    check_callable(fn, f"{name}: fn")
    with enable_grad():
        result = fn(*xs)
    for i, y in enumerate(_items(result)):
        _check_float(y, f"{name}: output {i} of the function")
    return result


def _scalar(name: str, fn: Callable[..., Any], xs: Tensors) -> Tensors:
    """The scalar that fn returns, by itself or in a tuple of one, as such a tuple."""
    ys = _items(_call(name, fn, xs))
    if [y.shape for y in ys] != [()]:
        raise ShapeError(
            f"{name}: fn must return one scalar; it returned {describe(list(ys))}"
        )
    return ys


def _check_float(x: Any, name: str) -> None:
    tape.check_tensor(x, name)
    if x.dtype.kind != "f":
        raise DTypeError(f"{name} must be float32 or float64, not {x.dtype}")


def _check_alike(name: str, found: Sequence[Any], expected: Sequence[Any]) -> None:
    if not isinstance(found, tuple | list):
        raise ArgumentError(f"{name}s must be in a tuple, not {describe(found)}")
    if len(found) != len(expected):
        raise ShapeError(f"{name}s: {len(expected)} are needed, not {len(found)}")
    for i, (g, x) in enumerate(zip(found, expected, strict=True)):
        tape.check_cotangent(g, x, f"{name} {i}")


def _pulled(ys: Tensors, xs: Tensors, gs: Sequence[Tensor], recorded: bool) -> Tensors:
    """The VJP of the ys at the gs; zeros for an x that they do not depend on."""
    pairs = [(y, g) for y, g in zip(ys, gs, strict=True) if y._node is not None]
    outputs, seeds = zip(*pairs, strict=True) if pairs else ((), ())
    found = tape.grad(outputs, xs, seeds, True, recorded, allow_unused=True)
    return tuple(
        wrap(np.zeros(x.shape, x.dtype)) if g is None else g
        for g, x in zip(found, xs, strict=True)
    )


def _without_own(results: Tensors, own: Tensors) -> Tensors:
    """The results; without a history if nothing but our own arguments is behind it."""
    mine = {x._node for x in own if x.is_leaf}

    def outside(y: Tensor) -> bool:
        nodes = tape.reachable([y._node]) if y._node is not None else []
        return any(node.op is None and node not in mine for node in nodes)

    keep = is_grad_enabled()
    return tuple(y if keep and outside(y) else wrap(y._data) for y in results)
