"""What can be wrong with data: it isn't there, or it isn't what it should be."""

from minigrad.errors import MinigradError


class DataError(MinigradError, ValueError):
    """A file that does not hold what its format says; the message has the line."""


class MissingDataError(MinigradError, FileNotFoundError):
    """A data set that is neither in the folder nor to be had from its source."""
