"""Dotted names of what modules hold, and each thing once."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def unique(pairs: Iterable[tuple[str, T]]) -> Iterator[tuple[str, T]]:
    """The pairs of a name and a thing, without those of a thing that was there."""
    seen: set[int] = set()
    for name, value in pairs:
        if id(value) not in seen:
            seen.add(id(value))
            yield name, value


def join(prefix: str, name: str) -> str:
    """The name after that of what holds it, which may be empty."""
    return f"{prefix}.{name}" if prefix else name
