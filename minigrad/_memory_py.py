"""The plain Python twin of `_memory.pyx`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def empty(shape: Sequence[int], dtype: Any) -> Array:
    """An array of any values, C-contiguous."""
    return np.empty(shape, dtype)
