"""Pictures, made by matplotlib and written whole."""

import io
import os
from typing import Any

from minigrad import picture
from seq.files import FilePath, write_whole


def new_figure(path: FilePath, size: tuple[float, float]) -> Any:
    """See `minigrad.picture.new_figure`; what it holds makes room for the rest."""
    return picture.new_figure(path, size, layout="constrained")


def save_figure(path: FilePath, figure: Any, dpi: int = 120) -> None:
    """Write the picture, whole or not at all, in the format that the path ends in."""
    data = io.BytesIO()
    figure.savefig(data, dpi=dpi, format=os.path.splitext(path)[1][1:])
    write_whole(path, data.getvalue())
