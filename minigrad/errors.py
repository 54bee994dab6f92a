"""The errors a user meets: what was wrong, what was expected, what to change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


class MinigradError(Exception):
    """The base of every error that minigrad raises on purpose."""


class ShapeError(MinigradError, ValueError):
    """Shapes that do not fit each other or the operation."""


class DTypeError(MinigradError, TypeError):
    """A dtype, or a Python type, that the operation does not take."""


class ArgumentError(MinigradError, ValueError):
    """An argument outside its domain."""


class IndexRangeError(MinigradError, IndexError):
    """An index, a label or a dimension that is out of range."""


class MissingNameError(MinigradError, KeyError):
    """A name that nothing has."""

    __str__ = Exception.__str__  # a KeyError shows its message quoted


class GraphError(MinigradError, RuntimeError):
    """A request that the recorded graph can't answer."""


class NonFiniteError(MinigradError, FloatingPointError):
    """A NaN or an infinity, where detect_anomaly() looked for one."""


class StateDictError(MinigradError, RuntimeError):
    """A state dict that does not fit the module."""


class MissingMethodError(MinigradError, NotImplementedError):
    """A method that a class of the user's own has to define."""


class MissingExtraError(MinigradError, ImportError):
    """A package that only an extra of minigrad brings."""


def kept_stand_in(what: str) -> GraphError:
    """The error for a tensor that a step's trace had, and that was used after it."""
    return GraphError(
        f"{what}: a tensor was kept from the trace of a step of scan, where it stands "
        "for that of any step and has no values; return it from the step, among its ys"
    )


NUMPY_ERRORS = (ValueError, TypeError, IndexError, ArithmeticError)
"""What numpy raises for arguments that do not fit: never left to the user as it is."""


def describe(value: Any) -> str:
    """A value as an error message shows it: a type and a shape, or a short repr.

    >>> describe(np.zeros((2, 3), np.float32))
    'float32(2, 3)'
    """
    if _is_array(value):
        return f"{value.dtype}{value.shape}"
    if isinstance(value, tuple | list) and any(map(_is_array, value)):
        return f"[{', '.join(map(describe, value))}]"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def type_name(value: Any) -> str:
    """The name of its type; of another library's Tensor, with the library's."""
    kind = type(value)
    named_alike = kind.__name__ in ("Tensor", "Parameter")
    return f"{kind.__module__}.{kind.__name__}" if named_alike else kind.__name__


def check_callable(value: Any, name: str) -> None:
    """Refuse what is not a function."""
    if not callable(value):
        raise ArgumentError(f"{name} must be a function, not {describe(value)}")


def _is_array(value: Any) -> bool:
    return hasattr(type(value), "__array__") and not isinstance(value, np.generic)


def translate(name: str, args: Sequence[Any], error: Exception) -> MinigradError:
    """The named error for what numpy raised while running op `name` on `args`."""
    call = f"{name}({', '.join(describe(a) for a in args)})"
    if isinstance(error, np.exceptions.AxisError):
        ndim = error.ndim
        if ndim is None or error.axis is None:
            return IndexRangeError(f"{call}: a dim is out of range or given twice")
        expected = f"{-ndim}..{ndim - 1}" if ndim else "-1..0 (it has no dimensions)"
        return IndexRangeError(f"{call}: dim {error.axis} is out of range: {expected}")
    if isinstance(error, IndexError):
        return IndexRangeError(f"{call}: {error}")
    if isinstance(error, TypeError):
        return DTypeError(f"{call}: {error}")
    if isinstance(error, ArithmeticError):
        return ArgumentError(f"{call}: {error}")
    return ShapeError(f"{call}: {error}")
