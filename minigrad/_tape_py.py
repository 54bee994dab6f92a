"""The plain Python twin of `_tape.pyx`: nodes, and recording an op.

Read this one, then `_tape_walk_py.py`; the Cython file does the same, faster.
`MINIGRAD_PURE=1` runs on it, and the tests hold the two together.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np

from ._keep import LARGE, let_go
from .errors import NUMPY_ERRORS, GraphError, MinigradError, kept_stand_in, translate

Array = np.ndarray[Any, Any]

_serials = itertools.count(1)
_state = threading.local()
_tensor_class: type[TensorCore]
_watcher: Any
_operators: dict[str, Callable[[Any, Any], Any]]
_is_operand: Callable[[Any], bool]


class Node:
    """A recorded instruction: an op, what it was applied to, and what came out.

    A leaf is a node without an op; the gradient is published there. A node refers to
    arrays and to the nodes they came from, never to a Tensor, so there are no cycles,
    and a parameter that gets a new array later leaves old graphs as they were.
    """

    __slots__ = (
        "args",
        "frozen",
        "grad",
        "hooks",
        "op",
        "parents",
        "serial",
        "slots",
        "stand_in",
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
    stand_in: bool  # made while a step was traced: its values mean nothing
    frozen: bool  # a leaf that is not trained now: no gradient is added

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
        self.stand_in = False
        self.frozen = False


_NO_NUMBERS = np.zeros(0, np.float32)


class TensorCore:
    """A read-only array, and the node and the output slot that it came from."""

    __slots__ = ("_data", "_frozen", "_node", "_slot")

    _data: Array
    _node: Node | None
    _slot: int
    _frozen: Node | None  # the node of a leaf while it does not require grad

    def __new__(cls, *_: Any, **__: Any) -> Self:
        """A class that forgets its base's __init__ has an array, too."""
        made = super().__new__(cls)
        made._data, made._node, made._slot = _NO_NUMBERS, None, 0
        made._frozen = None
        return made

    def _replace(self, data: Array) -> None:
        """Put a new array in place of the old one, which old graphs keep."""
        data.flags.writeable = False
        self._data = data

    @property
    def shape(self) -> tuple[int, ...]:
        """The size of each dim."""
        return self._data.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32, float64, int64 or bool, as a numpy dtype."""
        return self._data.dtype

    @property
    def ndim(self) -> int:
        """The number of dims."""
        return self._data.ndim

    @property
    def requires_grad(self) -> bool:
        """Whether what is computed from it is recorded."""
        if self._node is not None and self._node.stand_in:
            self._refuse("requires_grad")
        return self._node is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    @property
    def grad(self) -> Any:
        """The gradient that backward() accumulated in a leaf."""
        node = self._frozen if self._node is None else self._node
        if node is not None and node.stand_in:
            self._refuse("grad")
        return None if node is None or node.op is not None else node.grad

    @grad.setter
    def grad(self, value: Any) -> None:
        node = self._frozen if self._node is None else self._node
        if value is not None or (node is not None and node.op is not None):
            self._check_grad(value)
        if node is not None:
            node.grad = value

    def _check_grad(self, value: Any) -> None:
        raise NotImplementedError

    def _refuse(self, what: str) -> None:
        raise NotImplementedError

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        raise NotImplementedError


def _operator(name: str, reflected: bool = False) -> Any:
    """The method for a binary operator; other people's types get their turn."""

    def method(self: TensorCore, other: Any) -> Any:
        if not isinstance(other, TensorCore) and not _is_operand(other):
            return NotImplemented
        run = _operators[name]
        return run(other, self) if reflected else run(self, other)

    return method


for _name in ("add", "sub", "mul", "truediv", "pow", "matmul", "and", "or"):
    setattr(TensorCore, f"__{_name}__", _operator(_name))
    setattr(TensorCore, f"__r{_name}__", _operator(_name, reflected=True))
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    setattr(TensorCore, f"__{_name}__", _operator(_name))


class OpCore:
    """What `apply` needs to know of an op; `minigrad.op.Op` adds the rest."""

    __slots__ = ()

    name: str
    forward: Any
    quick: Any  # a kernel that gives what the forward gives, or None; see Op
    positions: tuple[int, ...]  # where the arrays stand among the arguments
    promoting: tuple[int, ...]  # those of them that must agree in dtype
    immediate: tuple[int, ...]  # those that may be plain Python numbers
    variadic: bool  # the arrays come first, any number of them
    n_params: int
    n_args: int
    n_needed: int  # arguments without a default
    star: int | None  # where a call may give any number of arguments
    defaults: tuple[Any, ...]
    sequences: tuple[int, ...]  # parameters that a node keeps as tuples
    floating: bool
    differentiable: bool
    returns_tuple: bool
    names: tuple[str, ...]  # of the array inputs; the one of a variadic op
    vjps: dict[str, Callable[..., Any]]  # by those names
    params: tuple[str, ...]
    shapes: tuple[str, ...]  # inputs of which the VJPs look at the shape and dtype only
    joint: Callable[..., Any] | None  # the VJPs of all inputs in one: see `tape.pull`

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return apply(self, self.bind(args, kwargs))

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        return lambda *args, **kwargs: self(instance, *args, **kwargs)

    def prepare(self) -> None:
        """Called when the facts above are complete."""

    def of_arrays(self, *raw: Any) -> Any:
        """What it makes of arrays; of an op that takes no list of them."""
        return self.forward(*raw)

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


def set_operators(
    operators: dict[str, Callable[[Any, Any], Any]], is_operand: Callable[[Any], bool]
) -> None:
    """Name what each operator runs, and what may stand beside a Tensor."""
    global _operators, _is_operand
    _operators, _is_operand = operators, is_operand


def get_mode() -> int:
    """What this thread records: 0 nothing, 1 what has a gradient, 2 everything."""
    mode: int = getattr(_state, "mode", 1)
    return mode


def set_mode(mode: int) -> None:
    """Change what this thread records."""
    _state.mode = mode


FROZEN = (
    "no_grad() inside a trace would freeze what it computes; to stop a gradient there, "
    "use detach()"
)


class ModeCore:
    """A context manager that sets what is recorded; in a trace, that is all."""

    def __init__(self, mode: int) -> None:
        self.mode = mode
        self.before: list[int] = []

    def __enter__(self) -> None:
        before = get_mode()
        if before == 2 and not self.mode:
            raise GraphError(FROZEN)
        self.before.append(before)
        set_mode(2 if before == 2 else self.mode)

    def __exit__(self, *_: object) -> None:
        set_mode(self.before.pop())


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


def signature(carries: Sequence[Any], xs: Sequence[Any], fixed: Sequence[Any]) -> Any:
    """Equal for tensors of equal shapes and dtypes, of which the same have a node.

    Those that are fixed are the same ones, as long as these are there. The number of
    steps, which the xs begin with, is left out; what is recorded is not. None if they
    differ in it, in a trace, while ops are watched, for what isn't a Tensor, and where
    something was set on one that is fixed.
    """
    tensors = (*carries, *xs, *fixed)
    if get_mode() == 2 or get_watching():
        return None
    if not all(isinstance(t, TensorCore) for t in tensors):
        return None
    if any(t._node is not None and t._node.stand_in for t in tensors):
        return None
    if any(getattr(t, "__dict__", None) for t in fixed):
        return None
    if not all(t.ndim and t.shape[0] for t in xs) or len({t.shape[0] for t in xs}) > 1:
        return None
    shapes = [t.shape for t in carries], [t.shape[1:] for t in xs]
    facts = [
        (shape, t.dtype, t._node is not None)
        for shape, t in zip(
            [*shapes[0], *shapes[1], *(t.shape for t in fixed)],
            [*carries, *xs, *fixed],
            strict=True,
        )
    ]
    return get_mode(), tuple(facts), tuple(map(id, fixed))


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
    mode = get_mode()
    stand_in = any(p is not None and p.stand_in for p in parents)
    if stand_in and mode != 2:
        raise kept_stand_in(op.name)
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
    tracked = values and any(p is not None for p in parents)
    if tracked and (
        mode == 2 or (mode == 1 and op.differentiable and values[0].dtype.kind == "f")
    ):
        for i in op.sequences:  # the caller's list may change
            raw[i] = tuple(raw[i]) if isinstance(raw[i], list) else raw[i]
        node = Node()
        node.op, node.stand_in = op, stand_in
        node.args, node.values = tuple(raw), values
        is_view = isinstance(values[0].base, np.ndarray)
        if mode == 1 and values[0].nbytes >= LARGE and not is_view:
            node.args, node.values = let_go(op, node.args, parents, values)
        node.parents = tuple(parents)
        node.slots = tuple(slots)
    if get_watching():
        _watcher(op, raw, values, node)
    if several:
        return tuple(wrap(v, node, i) for i, v in enumerate(values))
    return wrap(values[0], node)
