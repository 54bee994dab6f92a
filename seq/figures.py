"""Pictures, made by matplotlib and written whole."""

import io
import os
from typing import Any

from minigrad.errors import ArgumentError, MissingExtraError
from seq.files import FilePath, write_whole

FORMATS = (".pdf", ".png", ".svg")


def new_figure(path: FilePath, size: tuple[float, float]) -> Any:
    """A figure of so many inches, to be saved at the path.

    Raises MissingExtraError without matplotlib, which the extra `pictures` brings, and
    ArgumentError for a path that doesn't end in .pdf, .png or .svg.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError(
            "a picture needs matplotlib; "
            "install it with: pip install 'minigrad[pictures]'"
        ) from error
    if os.path.splitext(path)[1] not in FORMATS:
        raise ArgumentError(f"the path must end in one of {FORMATS}, not {path}")
    return Figure(figsize=size, layout="constrained")


def save_figure(path: FilePath, figure: Any, dpi: int = 120) -> None:
    """Write the picture, whole or not at all, in the format that the path ends in."""
    data = io.BytesIO()
    figure.savefig(data, dpi=dpi, format=os.path.splitext(path)[1][1:])
    write_whole(path, data.getvalue())
