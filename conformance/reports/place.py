"""Whether a file can be written, asked before the run whose results it is for."""

from __future__ import annotations

import tempfile
from pathlib import Path


def refusal(path: Path) -> str:
    """Why no file can be put at the path; "" if one can."""
    parent = path.absolute().parent
    if not parent.is_dir():
        return f"there is no directory {parent}"
    if path.is_dir():
        return f"{path} is a directory, not a file"
    try:  # permissions don't tell: of root, nor of what isn't on a disk
        with tempfile.TemporaryFile(dir=parent):
            return ""
    except OSError as error:
        return f"no file can be made in {parent}: {error.strerror}"
