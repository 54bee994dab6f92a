"""Files that are written whole or not at all."""

import os
import tempfile
from pathlib import Path
from typing import Any

from minigrad.errors import MissingExtraError
from seq.errors import FileFormatError

FilePath = str | os.PathLike[str]
Arrays = dict[str, Any]


def write_whole(path: FilePath, data: bytes) -> None:
    """Put the bytes at the path at once: a reader sees the old file or the new one.

    Raises OSError, and leaves the old file, if there isn't room or no permission.
    """
    path = Path(path)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, _mode(path))
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def write_arrays(path: FilePath, arrays: Arrays, metadata: dict[str, str]) -> None:
    """Write arrays by name, and texts by name, as a safetensors file."""
    save = _safetensors().save
    write_whole(path, save(arrays, metadata))


def read_arrays(path: FilePath) -> tuple[Arrays, dict[str, str]]:
    """The arrays and the texts of a safetensors file; no code in it is ever run.

    Raises FileFormatError for anything else than such a file, OSError for none.
    """
    _safetensors()
    from safetensors import SafetensorError, safe_open

    with open(path, "rb"):  # its errors name the file
        pass
    try:
        with safe_open(os.fspath(path), "numpy") as file:
            names = list(file.keys())
            arrays = {name: file.get_tensor(name) for name in names}
            return arrays, file.metadata() or {}
    except SafetensorError as error:
        raise FileFormatError(
            f"{path} is no whole safetensors file: {error}"
        ) from error


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError as error:
        raise MissingExtraError(
            "files of weights need safetensors; "
            "install it with: pip install 'minigrad[weights]'"
        ) from error
    return safetensors.numpy


def _mode(path: Path) -> int:
    """The permissions that the file has, or that a new one gets."""
    if path.exists():
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
