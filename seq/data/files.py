"""Where a user's data lie, and the lines of a file with their numbers."""

import os
from collections.abc import Iterator
from pathlib import Path

from seq.data.errors import DataError, MissingDataError

VARIABLE = "MINIGRAD_DATA"
"""The environment variable that names the folder, where no argument does."""


def find(name: str, folder: str | Path | None = None) -> Path:
    """The file or directory `name` in the folder, or in the one MINIGRAD_DATA names.

    Raises MissingDataError if there is no folder, or nothing of that name in it.
    """
    place = folder or os.environ.get(VARIABLE)
    if not place:
        raise MissingDataError(
            f"no folder to look for {name!r} in: give one, or set {VARIABLE}"
        )
    path = Path(place) / name
    if not path.exists():
        raise MissingDataError(
            f"{path} does not exist; put it there, or fetch what can be had: "
            f"python -m seq.data {place}"
        )
    return path


def read_text(path: str | Path) -> str:
    """The text of a file in UTF-8, Windows line ends as plain ones.

    Raises MissingDataError if it can't be read, DataError, with the line, if it is in
    another encoding or holds a NUL.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MissingDataError(f"can't read {path}: {error.strerror}") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise malformed(path, line, "is not UTF-8") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise malformed(path, line, "holds a NUL: it is no text")
    return text.replace("\r\n", "\n")


def numbered_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """The lines of a file, from 1; only a line feed ends one."""
    text = read_text(path)
    if not text.strip():
        raise DataError(f"{path} is empty")
    return enumerate(text.removesuffix("\n").split("\n"), 1)


def malformed(path: str | Path, line: int, problem: str) -> DataError:
    """The error for one line of a file."""
    return DataError(f"{path}, line {line} {problem}")
