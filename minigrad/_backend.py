"""Chooses the compiled modules, or their plain Python twins when MINIGRAD_PURE=1."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

PURE = os.environ.get("MINIGRAD_PURE", "0") not in ("", "0")

if TYPE_CHECKING or PURE:
    from . import _kernels_py as kernels
    from . import _ops_py as chosen
else:
    from . import _kernels as kernels
    from . import _ops as chosen

Node = chosen.Node
OpCore = chosen.OpCore
TensorCore = chosen.TensorCore
apply = chosen.apply
get_mode = chosen.get_mode
get_watching = chosen.get_watching
set_mode = chosen.set_mode
set_tensor_class = chosen.set_tensor_class
set_watcher = chosen.set_watcher
set_watching = chosen.set_watching
wrap = chosen.wrap

# Last: the loop's twin reads the table of ops, which needs the names above.
if TYPE_CHECKING or PURE:
    from numpy import empty

    from . import _loop_py as loop
else:
    from . import _loop as loop
    from ._memory import empty

__all__ = ["empty", "kernels", "loop"]
