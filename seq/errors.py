"""Saying where an error happened."""

from collections.abc import Iterator
from contextlib import contextmanager

from minigrad.anomaly import within
from minigrad.errors import MinigradError, NonFiniteError


class FileFormatError(MinigradError, ValueError):
    """A file that isn't what it should be."""


@contextmanager
def located(where: str) -> Iterator[None]:
    """Put `where` in front of the message of an error raised inside.

    It is also the place that detect_anomaly names, and remembers for the backward.

    >>> with located("layer 1"):
    ...     raise MinigradError("no such gate")
    Traceback (most recent call last):
    ...
    minigrad.errors.MinigradError: layer 1: no such gate
    """
    with within(where):
        try:
            yield
        except NonFiniteError:
            raise  # it has said where
        except MinigradError as error:
            error.args = (f"{where}: {error}",)
            raise
