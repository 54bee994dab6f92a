"""What a run needs to go on, as one file: arrays by name, and JSON for all the rest."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from minigrad import Tensor
from minigrad.errors import MinigradError
from seq.errors import FileFormatError
from seq.files import Arrays, FilePath, read_arrays, write_arrays

KEY = "minigrad.run"


def save(path: FilePath, tree: Mapping[str, Any]) -> None:
    """Write dicts, lists, numbers, texts, arrays and Tensors, as a safetensors file.

    Keys become texts, and tuples lists. The file is written whole or not at all.
    Raises MissingExtraError without safetensors, OSError if it can't be written.
    """
    arrays: Arrays = {}
    skeleton = _pack(tree, "", arrays)
    write_arrays(path, arrays, {KEY: json.dumps(skeleton)})


def load(path: FilePath) -> dict[str, Any]:
    """What `save` wrote. Raises FileFormatError for another file."""
    arrays, metadata = read_arrays(path)
    if KEY not in metadata:
        raise FileFormatError(f"{path} is no checkpoint: it has weights, but no run")
    with understood(path):
        tree = _unpack(json.loads(metadata[KEY]), arrays)
        if not isinstance(tree, dict):
            raise TypeError(f"expected an object, got {tree!r}")
    return tree


@contextmanager
def understood(path: FilePath) -> Iterator[None]:
    """FileFormatError for what goes wrong because a file holds what it shouldn't.

    An error that was raised on purpose stays what it is.
    """
    try:
        yield
    except MinigradError:
        raise
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise FileFormatError(f"{path} is no whole checkpoint: {error!r}") from error


def _pack(tree: Any, name: str, arrays: Arrays) -> Any:
    """The tree with each array replaced by the name of its place.

    Not by np.ascontiguousarray: of an array of shape () it makes one of shape (1,).
    """
    match tree:
        case Tensor():
            arrays[name] = np.asarray(tree.detach().numpy(), order="C")
            return {"$tensor": name}
        case np.ndarray():
            arrays[name] = np.asarray(tree, order="C")
            return {"$array": name}
        case Mapping():
            return {str(k): _pack(v, f"{name}/{k}", arrays) for k, v in tree.items()}
        case list() | tuple():
            return [_pack(v, f"{name}/{i}", arrays) for i, v in enumerate(tree)]
        case np.generic():
            return tree.item()
    return tree


def _unpack(tree: Any, arrays: Arrays) -> Any:
    match tree:
        case {"$tensor": name}:
            return Tensor(arrays[name])
        case {"$array": name}:
            return arrays[name]
        case dict():
            return {key: _unpack(value, arrays) for key, value in tree.items()}
        case list():
            return [_unpack(value, arrays) for value in tree]
    return tree
