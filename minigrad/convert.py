"""What users hand in, made into what the engine holds: fresh arrays, plain indices."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._backend import TensorCore
from .errors import DTypeError, GraphError, IndexRangeError, kept_stand_in
from .mode import caller, is_tracing
from .ops import DTYPES, check_whole, checked_dtype

Array = np.ndarray[Any, Any]


def to_array(data: Any, dtype: Any = None) -> Array:
    """A fresh array of one of the four dtypes, by the rules of `Tensor`."""
    if isinstance(data, TensorCore):
        data = look(data)
    try:
        array = np.asarray(data)
    except (ValueError, TypeError, RuntimeError) as error:
        raise DTypeError(f"can't make a tensor of this: {error}") from error
    if dtype is not None:
        dtype = checked_dtype(dtype)
    elif array.dtype == np.float64:
        dtype = np.dtype(np.float32) if _is_python(data) else array.dtype
    elif array.dtype in DTYPES:
        dtype = array.dtype
    elif array.dtype.kind in "iu" and np.can_cast(array.dtype, np.int64):
        dtype = np.dtype(np.int64)
    if dtype is None or array.dtype.kind not in "biuf":
        raise DTypeError(
            f"can't make a tensor of {array.dtype} data; expected numbers that are "
            "float32, float64, int64 or bool"
        )
    if dtype == np.int64 and _is_python(data):  # an array is cast, as by to()
        check_whole("tensor", array, dtype)
    with np.errstate(all="ignore"):  # too large for float32 is infinite, as in an op
        return array.astype(dtype, order="C")


def _is_python(data: Any) -> bool:
    """Whether numbers are Python's alone: one that numpy made has a dtype to keep."""
    if isinstance(data, list | tuple):
        return all(map(_is_python, data))
    return not hasattr(data, "dtype")


def look(tensor: Any) -> Array:
    """A tensor's values, unless a trace is running on stand-ins for them."""
    if tensor._node is not None and (is_tracing() or tensor._node.stand_in):
        if not is_tracing():
            raise kept_stand_in("looking at values")
        raise GraphError(
            "a traced function can't look at the values of its tensors: what it did "
            "with them would be frozen; use ops, such as where() instead of if (it "
            f"looked at {caller()})"
        )
    found: Array = tensor._data
    return found


def sizes(given: tuple[Any, ...]) -> tuple[Any, ...]:
    """(2, 3) from reshape(2, 3) as from reshape((2, 3))."""
    if len(given) == 1 and isinstance(given[0], tuple | list):
        return tuple(given[0])
    return given


def one_size(given: tuple[Any, ...]) -> tuple[Any, ...]:
    """The sizes as the one argument that an op has; none, if none stands there."""
    return (sizes(given),) if given else ()


def index_part(part: Any) -> Any:
    """One part of an index: arrays are copied, a tensor is looked at."""
    if isinstance(part, TensorCore):
        return _checked_index(look(part))
    if isinstance(part, list):
        try:
            return _checked_index(np.array(part, dtype=None if part else np.int64))
        except (ValueError, TypeError) as error:
            raise IndexRangeError(f"a list can't be an index: {error}") from error
    if isinstance(part, slice):
        start, stop, step = part.start, part.stop, part.step
        if np.ndarray in (type(start), type(stop), type(step)):
            return slice(*map(_kept, (start, stop, step)))
        return part
    return _checked_index(part.copy()) if isinstance(part, np.ndarray) else part


def _kept(end: Any) -> Any:
    """The end of a slice, which an array may be, as a number of now."""
    return end[()] if isinstance(end, np.ndarray) else end


def _checked_index(part: Array) -> Array:
    if part.dtype.kind not in "ib":
        raise IndexRangeError(f"an index must be int64 or bool, not {part.dtype}")
    return part
