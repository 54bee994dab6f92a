"""The plain Python twin of `_tape_walk.pxi`: the walk back."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import Any

import numpy as np

from ._tape_py import Node, get_mode, get_watching, set_mode, set_watching, wrap
from .errors import GraphError

Slot = tuple[Node, int]  # one output of a node: what a cotangent belongs to

WALKED = (
    "this graph was already walked, and what it held is gone; pass retain_graph=True "
    "to the first backward() or grad()"
)

_pull: Any
_hooked: Any


def set_tape(pull: Any, hooked: Any, sum_to: Any, refuse_kind: Any) -> None:
    """Name the steps of a walk that need more than what is here."""
    global _pull, _hooked
    _pull, _hooked = pull, hooked


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


def free(node: Node) -> None:
    """Let go of what a node holds: a second pass through it is refused."""
    node.args = node.parents = node.slots = ()
    node.values = (None,) * len(node.values)


def was_freed(node: Node) -> bool:
    """Whether a pass has gone through the node and let go of what it held."""
    return node.op is not None and not node.args
