"""The plain Python twin of `_tape.pyx`: recording an op, and walking back.

Read this one; the Cython file does the same, faster. `MINIGRAD_PURE=1` runs on it,
and the tests hold the two together.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Container, Iterable, Sequence
from typing import Any

import numpy as np

from ._keep import LARGE, let_go
from .errors import NUMPY_ERRORS, GraphError, MinigradError, translate

Array = np.ndarray[Any, Any]

_serials = itertools.count(1)
_state = threading.local()
_tensor_class: type[TensorCore]
_watcher: Any
_pull: Any
_hooked: Any
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
        return self._node is not None


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
    quick: Any  # a kernel that gives what the forward gives, or None; see _backend
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


def set_tape(pull: Any, hooked: Any, sum_to: Any) -> None:
    """Name the steps of a walk that need more than what is here."""
    global _pull, _hooked
    _pull, _hooked = pull, hooked


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


def signature(carries: Sequence[Any], xs: Sequence[Any], others: Sequence[Any]) -> Any:
    """Equal for tensors of equal shapes and dtypes, of which the same have a node.

    The number of steps, which the xs begin with, is left out. None if they differ in
    it, and for what has no signature, such as anything that isn't a Tensor.
    """
    if not all(isinstance(t, TensorCore) for t in (*carries, *xs, *others)):
        return None
    if not all(t.ndim and t.shape[0] for t in xs) or len({t.shape[0] for t in xs}) > 1:
        return None
    shapes = [t.shape for t in carries], [t.shape[1:] for t in xs]
    return tuple(
        (shape, t.dtype, t._node is not None)
        for shape, t in zip(
            [*shapes[0], *shapes[1], *(t.shape for t in others)],
            [*carries, *xs, *others],
            strict=True,
        )
    )


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


# -- the walk back ---------------------------------------------------------------------

Slot = tuple[Node, int]  # one output of a node: what a cotangent belongs to


def walk(
    outputs: Sequence[Any],
    seeds: Sequence[Any],
    wanted: Sequence[Slot] | None,
    retain: bool,
    recorded: bool,
) -> list[Any]:
    """The cotangent of each wanted slot, or None; (leaf, cotangent) pairs if not given.

    outputs: Tensors with a node; seeds: a cotangent for each. retain: keep what the
    nodes hold. recorded: the walk is recorded itself. Raises GraphError if it would
    have to pass a node that let go of what it held.
    """
    before, watching = get_mode(), get_watching()
    set_mode(2 if before == 2 else int(recorded))
    # Values on the way are not looked at: a VJP may well compute what it then masks.
    set_watching(min(watching, 1))
    try:
        with np.errstate(all="ignore"):
            return _Walk(recorded, watching == 2).run(outputs, seeds, wanted, retain)
    finally:
        set_mode(before)
        set_watching(watching)


class _Walk:
    """The cotangents that have arrived, summed by the slot they belong to."""

    def __init__(self, recorded: bool, watched: bool) -> None:
        self.recorded = recorded
        self.watched = watched
        self.sums: dict[Slot, Any] = {}
        self.owned: set[Slot] = set()

    def run(
        self,
        outputs: Sequence[Any],
        seeds: Sequence[Any],
        wanted: Sequence[Slot] | None,
        retain: bool,
    ) -> list[Any]:
        """See `walk`."""
        nodes = reachable([y._node for y in outputs])
        refuse_walked(nodes, wanted)
        for y, g in zip(outputs, seeds, strict=True):
            self.add((y._node, y._slot), g)
        useful = set(nodes) if wanted is None else _useful(nodes, wanted)
        leaves = [(node, 0) for node in nodes if node.op is None]
        targets = dict.fromkeys(leaves if wanted is None else wanted)
        for node in nodes:
            gs = self.finished(node, useful)
            for i, g in enumerate(gs):
                if (node, i) in targets:
                    targets[node, i] = g
            if node.op is not None and self.passed(node, gs, useful) and not retain:
                free(node)
        if wanted is None:
            return [(n, g) for (n, _), g in targets.items() if g is not None]
        return [targets[slot] for slot in wanted]

    def add(self, slot: Slot, g: Any) -> None:
        """Keep the first, add the others: in place from the third one on.

        A sum of two is the first array that nobody else can hold.
        """
        before = self.sums.get(slot)
        if before is None:
            self.sums[slot] = g
        elif self.recorded:
            self.sums[slot] = before + g
        elif slot in self.owned:
            np.add(before, g._data, out=before)
        else:
            self.sums[slot] = np.asarray(before._data + g._data)
            self.owned.add(slot)

    def finished(self, node: Node, useful: Container[Node]) -> list[Any]:
        """The sum for each output of the node, after its hooks; None: none arrived."""
        gs = []
        for i in range(max(len(node.values), 1)):
            g = self.sums.pop((node, i), None)
            if (node, i) in self.owned:
                g = wrap(g)
            if node.hooks and g is not None and node in useful:
                g = _hooked(node, i, g, self.recorded)
            gs.append(g)
        return gs

    def passed(self, node: Node, gs: list[Any], useful: Container[Node]) -> bool:
        """Hand on to the node's parents; whether there was anything to hand on.

        A node that nothing was asked of stays whole, for another pass.
        """
        needed = [p in useful for p in node.parents]
        if not any(needed) or all(g is None for g in gs):
            return False
        for i, g in _pull(node, gs, needed, self.recorded, self.watched):
            parent = node.parents[i]
            assert parent is not None
            self.add((parent, node.slots[i]), g)
        return True


def reachable(roots: Iterable[Node], stop: Container[Slot] = ()) -> list[Node]:
    """Every node that the roots were computed from, the newest first.

    Nothing behind a slot in `stop` counts.
    """
    seen = set(roots)
    stack = list(seen)
    while stack:
        node = stack.pop()
        for parent, slot in zip(node.parents, node.slots, strict=True):
            if parent is not None and parent not in seen and (parent, slot) not in stop:
                seen.add(parent)
                stack.append(parent)
    return sorted(seen, key=lambda node: -node.serial)


def _useful(nodes: list[Node], wanted: Sequence[Slot]) -> set[Node]:
    """The nodes on a path to a wanted one: the others need no cotangent."""
    useful = {node for node, _ in wanted}
    for node in reversed(nodes):
        if any(parent in useful for parent in node.parents):
            useful.add(node)
    return useful


def refuse_walked(nodes: list[Node], wanted: Sequence[Slot] | None) -> None:
    """Raise if the walk may have to pass a node that let go of what it held.

    What stood behind it is forgotten. So it can only be the end of the walk, and only
    one that is asked for alone: another input may have stood behind it.
    """
    freed = {node for node in nodes if was_freed(node)}
    ends = {node for node, _ in wanted or ()}
    if freed and not (freed == ends and len(ends) == 1):
        raise GraphError(WALKED)


WALKED = (
    "this graph was already walked, and what it held is gone; pass retain_graph=True "
    "to the first backward() or grad()"
)


def free(node: Node) -> None:
    """Let go of what a node holds: a second pass through it is refused."""
    node.args = node.parents = node.slots = ()
    node.values = (None,) * len(node.values)


def was_freed(node: Node) -> bool:
    """Whether a pass has gone through the node and let go of what it held."""
    return node.op is not None and not node.args
