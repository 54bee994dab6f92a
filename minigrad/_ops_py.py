"""The plain Python twin of `_ops.pyx`: what recording an op means.

Read this one; the Cython file does the same, faster. `MINIGRAD_PURE=1` runs on it,
and the tests hold the two together.
"""

from __future__ import annotations

import itertools
import threading
from typing import Any

import numpy as np

from .errors import NUMPY_ERRORS, MinigradError, translate

Array = np.ndarray[Any, Any]

_serials = itertools.count(1)
_state = threading.local()
_tensor_class: type[TensorCore]
_watcher: Any


class Node:
    """A recorded instruction: an op, what it was applied to, and what came out.

    A leaf is a node without an op; the gradient is published there. A node refers to
    arrays and to the nodes they came from, never to a Tensor, so there are no cycles,
    and a parameter that gets a new array later leaves old graphs as they were.
    """

    __slots__ = (
        "args",
        "grad",
        "hooks",
        "op",
        "parents",
        "serial",
        "slots",
        "values",
        "where",
    )

    op: Any
    args: tuple[Any, ...]
    parents: tuple[Node | None, ...]
    slots: tuple[int, ...]
    values: tuple[Any, ...]
    serial: int
    grad: Any
    hooks: Any  # None, or a dict: see `hooks.register`
    where: str | None  # the line that called the op, if detect_anomaly() was on

    def __init__(self) -> None:
        self.op = None
        self.args = ()
        self.parents = ()
        self.slots = ()
        self.values = ()
        self.serial = next(_serials)
        self.grad = None
        self.hooks = None
        self.where = None


class TensorCore:
    """A read-only array, and the node and the output slot that it came from."""

    __slots__ = ("_data", "_node", "_slot")

    _data: Array
    _node: Node | None
    _slot: int

    def _replace(self, data: Array) -> None:
        """Put a new array in place of the old one, which old graphs keep."""
        self._data = data


class OpCore:
    """What `apply` needs to know of an op; `minigrad.op.Op` adds the rest."""

    __slots__ = ()

    name: str
    forward: Any
    positions: tuple[int, ...]  # where the arrays stand among the arguments
    promoting: tuple[int, ...]  # those of them that must agree in dtype
    immediate: tuple[int, ...]  # those that may be plain Python numbers
    variadic: bool  # the arrays come first, any number of them
    n_params: int
    n_args: int
    defaults: tuple[Any, ...]
    sequences: tuple[int, ...]  # parameters that a node keeps as tuples
    floating: bool
    differentiable: bool

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return apply(self, self.bind(args, kwargs))

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        return lambda *args, **kwargs: self(instance, *args, **kwargs)

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        raise NotImplementedError

    def convert(self, args: tuple[Any, ...]) -> tuple[bool, Any]:
        raise NotImplementedError

    def reconcile(self, raw: list[Any]) -> None:
        raise NotImplementedError


def set_tensor_class(cls: type[TensorCore]) -> None:
    """Name the class that results are made of."""
    global _tensor_class
    _tensor_class = cls


def get_mode() -> int:
    """What this thread records: 0 nothing, 1 what has a gradient, 2 everything."""
    mode: int = getattr(_state, "mode", 1)
    return mode


def set_mode(mode: int) -> None:
    """Change what this thread records."""
    _state.mode = mode


def set_watcher(watch: Any) -> None:
    """Name what is called with (op, args, values, node) while anybody watches."""
    global _watcher
    _watcher = watch


def get_watching() -> int:
    """Whether this thread has its ops watched: 0, or the watcher's own level."""
    level: int = getattr(_state, "watching", 0)
    return level


def set_watching(level: int) -> None:
    """Change whether this thread has its ops watched."""
    _state.watching = level


def wrap(data: Array, node: Node | None = None, slot: int = 0) -> Any:
    """A Tensor around an array that nobody will write to any more."""
    tensor = _tensor_class.__new__(_tensor_class)
    data.flags.writeable = False
    tensor._data = data
    tensor._node = node
    tensor._slot = slot
    return tensor


def apply(op: OpCore, args: tuple[Any, ...]) -> Any:
    """Run `op` on bound arguments and record it if a gradient may be asked for."""
    raw = list(args)
    parents: list[Node | None] = []
    slots: list[int] = []
    positions = range(len(args) - op.n_params) if op.variadic else op.positions
    numbers_alone = bool(op.promoting)
    for position in positions:
        value = args[position]
        if isinstance(value, TensorCore):
            raw[position] = value._data
            parents.append(value._node)
            slots.append(0 if value._node is None else value._slot)
            numbers_alone = numbers_alone and position not in op.promoting
        elif type(value) in (float, int, bool) and position in op.immediate:
            parents.append(None)
            slots.append(0)
        else:
            done, args = op.convert(args)
            return args if done else apply(op, args)
    if numbers_alone:
        done, args = op.convert(args)
        return args if done else apply(op, args)
    op.reconcile(raw)
    try:
        with np.errstate(all="ignore"):
            if op.variadic:
                n = len(positions)
                result = op.forward(tuple(raw[:n]), *raw[n:])
            else:
                result = op.forward(*raw)
    except MinigradError:
        raise
    except NUMPY_ERRORS as error:
        raise translate(op.name, raw, error) from error
    several = type(result) is tuple
    values = tuple(map(np.asarray, result if several else (result,)))
    node = None
    mode = get_mode()
    tracked = values and any(p is not None for p in parents)
    if tracked and (
        mode == 2 or (mode == 1 and op.differentiable and values[0].dtype.kind == "f")
    ):
        for i in op.sequences:  # the caller's list may change
            raw[i] = tuple(raw[i]) if isinstance(raw[i], list) else raw[i]
        node = Node()
        node.op = op
        node.args = tuple(raw)
        node.parents = tuple(parents)
        node.slots = tuple(slots)
        node.values = values
    if get_watching():
        _watcher(op, raw, values, node)
    if several:
        return tuple(wrap(v, node, i) for i, v in enumerate(values))
    return wrap(values[0], node)
