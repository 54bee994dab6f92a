"""Saying where an error happened."""

from minigrad.anomaly import within
from minigrad.errors import MinigradError, NonFiniteError


class FileFormatError(MinigradError, ValueError):
    """A file that isn't what it should be."""


class located(within):
    """Put `where` in front of the message of an error raised inside.

    It is also the place that detect_anomaly names, and remembers for the backward.

    >>> with located("layer 1"):
    ...     raise MinigradError("no such gate")
    Traceback (most recent call last):
    ...
    minigrad.errors.MinigradError: layer 1: no such gate
    """

    __slots__ = ()

    def __exit__(self, *raised: object) -> None:
        super().__exit__(*raised)
        error = raised[1]
        if isinstance(error, NonFiniteError):
            return  # it has said where
        if isinstance(error, MinigradError):
            error.args = (f"{self.place}: {error}",)
