"""Saying where an error happened."""

from collections.abc import Iterator
from contextlib import contextmanager

from minigrad.errors import MinigradError


@contextmanager
def located(where: str) -> Iterator[None]:
    """Put `where` in front of the message of an error raised inside.

    >>> with located("layer 1"):
    ...     raise MinigradError("no such gate")
    Traceback (most recent call last):
    ...
    minigrad.errors.MinigradError: layer 1: no such gate
    """
    try:
        yield
    except MinigradError as error:
        error.args = (f"{where}: {error}",)
        raise
