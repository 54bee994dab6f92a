"""A composite: an op that is made of ops, and needs no VJP."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from . import _backend
from .errors import NUMPY_ERRORS, MinigradError, translate
from .op import Op, find_handler


def composite(
    torch: str | None, **facts: Any
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enter a function made of ops into the table: it needs no VJP."""

    def enter(forward: Callable[..., Any]) -> Callable[..., Any]:
        entry = Op(forward, torch, composite=True, **facts)

        # Most have one input, and are called with it by position: that is seen at once.
        of_first = entry.positions == (0,) and entry.star is None
        least, most = entry.n_needed, entry.n_args

        # By the number of arguments that stand by position: what may follow by name, if
        # the call is plain, and no input is among it.
        others = [
            frozenset(
                name
                for i, name in enumerate(entry.params)
                if i >= n and i not in entry.positions
            )
            for n in range(entry.n_args + 1)
        ]

        def is_plain(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
            """Whether it is a call on Tensors, with nothing to convert or to refuse."""
            n = len(args)
            if entry.star is not None or not entry.n_needed <= n <= entry.n_args:
                return False
            if kwargs and not others[n].issuperset(kwargs):
                return False
            for i in entry.positions:
                if i < n and not isinstance(args[i], _backend.TensorCore):
                    return False
            return True

        @functools.wraps(forward)
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                if (
                    of_first
                    and not kwargs
                    and least <= len(args) <= most
                    and isinstance(args[0], _backend.TensorCore)
                ) or is_plain(args, kwargs):
                    return forward(*args, **kwargs)
                return converted(args, kwargs)
            except MinigradError:
                raise
            except NUMPY_ERRORS as error:
                raise translate(entry.name, args, error) from error

        def converted(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            values = list(entry.bind(args, kwargs))
            for position in entry.positions:
                starred = position == entry.star
                given = values[position] if starred else (values[position],)
                for handler in filter(None, map(find_handler, given)):
                    return handler(entry, args, entry.renamed(kwargs))
                optional = entry.defaults[position] is None
                tensors = tuple(
                    value
                    if value is None and optional
                    else entry.as_tensor(position, value)
                    for value in given
                )
                values[position] = tensors if starred else tensors[0]
            return entry.invoke(values)

        entry.run = call
        return call

    return enter
