"""The data that the examples are measured on: read from your folder, or generated."""

from seq.data.errors import DataError, MissingDataError
from seq.data.fetching import fetch
from seq.data.files import find
from seq.data.readers import (
    Labelled,
    Tagged,
    chorales,
    conll,
    japanese_vowels,
    names_by_language,
    promoters,
    sentiment,
    splice_junctions,
    text_lines,
)

__all__ = [
    "DataError",
    "Labelled",
    "MissingDataError",
    "Tagged",
    "chorales",
    "conll",
    "fetch",
    "find",
    "japanese_vowels",
    "names_by_language",
    "promoters",
    "sentiment",
    "splice_junctions",
    "text_lines",
]
