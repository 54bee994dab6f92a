"""Reverse mode: walk the recorded nodes from the newest to the oldest."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import anomaly, ops
from ._backend import Node, TensorCore, wrap
from .errors import ArgumentError, DTypeError, GraphError, ShapeError
from .mode import is_tracing, pass_mode

if TYPE_CHECKING:
    from .tensor import Tensor

Array = np.ndarray[Any, Any]
Slot = tuple[Node, int]  # one output of a node: what a cotangent belongs to


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
    outputs = _listed(outputs)
    inputs = _listed(inputs)
    if not inputs:
        raise ArgumentError("grad: give an input to differentiate by")
    seeds = [None] * len(outputs) if grad_outputs is None else _listed(grad_outputs)
    for i, x in enumerate(inputs):
        check_tensor(x, f"grad: input {i}")
        if x._node is None:
            raise GraphError(
                f"grad: input {i} does not require grad; create it with "
                "requires_grad=True before it is used"
            )
    wanted = [(x._node, x._slot) for x in inputs]
    found = _walk(outputs, seeds, wanted, retain_graph, create_graph)
    results = [found.get(slot) for slot in wanted]
    if None in results and not allow_unused:
        raise GraphError(
            f"grad: the outputs do not depend on input {results.index(None)}; "
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
    found = _walk(outputs, cotangents, None, retain_graph, create_graph)
    with pass_mode(create_graph):
        totals = [
            (node, g if node.grad is None else node.grad + g)
            for (node, _), g in found.items()
        ]
    for node, total in totals:
        node.grad = total


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
        raise DTypeError(f"{name} must be a Tensor, not {type(value).__name__}")


def _listed(value: Any) -> list[Any]:
    """One tensor, or any iterable of them, such as `module.parameters()`."""
    one = isinstance(value, TensorCore) or not isinstance(value, Iterable)
    return [value] if one else list(value)


class _Cotangents:
    """The cotangents that have arrived, summed by the slot they belong to."""

    def __init__(self, recorded: bool) -> None:
        self.recorded = recorded
        self.sums: dict[Slot, Any] = {}
        self.owned: set[Slot] = set()

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

    def pop(self, slot: Slot) -> Any:
        """The finished sum, or None if nothing arrived."""
        g = self.sums.pop(slot, None)
        return wrap(g) if slot in self.owned else g


def _walk(
    outputs: Sequence[Any],
    cotangents: Sequence[Any],
    wanted: Sequence[Slot] | None,
    retain_graph: bool | None,
    create_graph: bool,
) -> dict[Slot, Any]:
    """The cotangents of the wanted slots, or of all leaves."""
    if len(cotangents) != len(outputs):
        raise ShapeError(
            f"{len(outputs)} outputs need as many cotangents, not {len(cotangents)}"
        )
    recorded = create_graph or is_tracing()
    retain = is_tracing() or (create_graph if retain_graph is None else retain_graph)
    arrived = _Cotangents(recorded)
    with (
        pass_mode(create_graph),
        np.errstate(all="ignore"),
        anomaly.in_backward() as watched,
    ):
        for y, g in zip(outputs, cotangents, strict=True):
            arrived.add((_source(y), y._slot), _seed(y, g, recorded))
        nodes = reachable([y._node for y in outputs])
        useful = set(nodes) if wanted is None else _useful(nodes, wanted)
        _refuse_walked(nodes, wanted)
        targets = None if wanted is None else set(wanted)
        found: dict[Slot, Any] = {}
        for node in nodes:
            passed = _visit(node, useful, arrived, targets, found, watched)
            if passed and not retain:
                _free(node)
    return found


def _refuse_walked(nodes: list[Node], wanted: Sequence[Slot] | None) -> None:
    """Raise if the walk may have to pass a node that let go of what it held.

    What stood behind it is forgotten. So it can only be the end of the walk, and only
    one that is asked for alone: another input may have stood behind it.
    """
    freed = {node for node in nodes if was_freed(node)}
    ends = {node for node, _ in wanted or ()}
    if freed and not (freed == ends and len(ends) == 1):
        raise GraphError(
            "this graph was already walked, and what it held is gone; pass "
            "retain_graph=True to the first backward() or grad()"
        )


def _source(y: Any) -> Node:
    check_tensor(y, "an output")
    if y._node is None:
        raise GraphError(
            "an output does not require grad and was not computed from anything that "
            "does; create its inputs with requires_grad=True"
        )
    node: Node = y._node
    return node


def _seed(y: Any, g: Any, recorded: bool) -> Any:
    if g is None:
        if y.numel() != 1:
            raise GraphError(
                f"the gradient of an output of shape {y.shape} needs a cotangent of "
                "that shape; only a scalar has one by default"
            )
        return wrap(np.ones(y.shape, y.dtype))
    check_cotangent(g, y, "the cotangent of an output")
    return g if recorded else wrap(g._data)


def reachable(roots: Sequence[Node], stop: Container[Slot] = ()) -> list[Node]:
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
        if not useful.isdisjoint(node.parents):
            useful.add(node)
    return useful


def _visit(
    node: Node,
    useful: Any,
    arrived: _Cotangents,
    targets: Any,
    found: dict[Slot, Any],
    watched: bool,
) -> bool:
    """Take the node's finished cotangents, and pass them on: whether there was a way.

    A node that nothing was asked of stays whole, for another pass.
    """
    if node.op is None:
        g = arrived.pop((node, 0))
        if node.hooks and g is not None and node in useful:
            g = _hooked(node, 0, g, arrived.recorded)
        if g is not None and (targets is None or (node, 0) in targets):
            found[node, 0] = g
        return False
    gs = []
    for slot in range(len(node.values)):
        g = arrived.pop((node, slot))
        if node.hooks and g is not None and node in useful:
            g = _hooked(node, slot, g, arrived.recorded)
        gs.append(g)
        if g is not None and targets is not None and (node, slot) in targets:
            found[node, slot] = g
    needed = [p in useful for p in node.parents]
    if not any(needed) or all(g is None for g in gs):
        return False
    for i, g in _pull(node, gs, needed, arrived.recorded, watched):
        parent = node.parents[i]
        assert parent is not None
        arrived.add((parent, node.slots[i]), g)
    return True


def _hooked(node: Node, slot: int, g: Any, recorded: bool) -> Any:
    """The cotangent after the hooks of that output, in the order they were added."""
    for at, hook in list(node.hooks.values()):
        new = hook(g) if at == slot else None
        if new is not None:
            check_cotangent(new, g, "what a hook returns")
            g = new if recorded else wrap(new._data)
    return g


def _pull(
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
        name = op.params[0 if op.variadic else position]
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
        shape = args[position].shape
        yield i, result if result.shape == shape else ops.sum_to(result, shape)


def read_back(node: Node, recorded: bool) -> tuple[list[Any], list[Any]]:
    """A node's arguments and outputs as Tensors, with their history if asked for."""
    ys = [wrap(v, node if recorded else None, i) for i, v in enumerate(node.values)]
    args = list(node.args)
    for i, position in enumerate(node.op.places(node.args)):
        if isinstance(args[position], np.ndarray):
            parent = node.parents[i] if recorded else None
            args[position] = wrap(args[position], parent, node.slots[i])
    return args, ys


def _free(node: Node) -> None:
    """Let go of what a node holds: a second pass through it is refused."""
    node.args = node.parents = node.slots = ()
    node.values = (None,) * len(node.values)


def was_freed(node: Node) -> bool:
    """Whether a pass has gone through the node and let go of what it held."""
    return node.op is not None and not node.args
