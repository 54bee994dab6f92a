"""Hooks: functions that read, or replace, a gradient on its way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ._backend import Node
from .mode import refuse_in_step

Hook = tuple[int, Callable[[Any], Any]]  # an output slot of the node, and the function


class Handle:
    """What registering a hook returns; `remove()` takes the hook away again.

    In a `with` it is there for as long as that lasts.
    """

    def __init__(self, hooks: dict[object, Any], key: object) -> None:
        self._hooks = hooks
        self._key = key

    def remove(self) -> None:
        """Take the hook away; a second time does nothing."""
        self._hooks.pop(self._key, None)

    def __enter__(self) -> Handle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def register(node: Node, slot: int, fn: Callable[[Any], Any]) -> Handle:
    """Call fn with the gradient of that output of the node, after those before it."""
    refuse_in_step("register_hook()", "register it on what scan is given or returns")
    if node.hooks is None:
        node.hooks = {}
    key = object()
    node.hooks[key] = slot, fn
    return Handle(node.hooks, key)
