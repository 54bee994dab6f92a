"""Files that are written whole or not at all."""

import os
import secrets
from pathlib import Path
from typing import Any

from minigrad.errors import MissingExtraError
from seq.errors import FileFormatError

FilePath = str | os.PathLike[str]
Arrays = dict[str, Any]


def write_whole(path: FilePath, data: bytes | str) -> None:
    """Put bytes, or a text, at the path at once: a reader sees the old file or the new.

    Raises OSError, which names the path, and leaves the old file, if there isn't room
    or no permission.
    """
    path = Path(path)
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(new, "xb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except BaseException as error:
        new.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno:  # it names the new file, or none
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error
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
            # Another package may have given numpy the type; what is read is as without.
            if odd := {a.dtype.name for a in arrays.values() if a.dtype.kind == "V"}:
                raise TypeError(f"{min(odd)} is no type of its own")
            return arrays, file.metadata() or {}
    except SafetensorError as error:
        raise FileFormatError(
            f"{path} is no whole safetensors file: {error}"
        ) from error
    except (AttributeError, TypeError) as error:  # as bfloat16 and the 8-bit floats are
        raise FileFormatError(
            f"{path} holds arrays of a type that numpy does not have: {error}; write "
            "them as float32"
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
