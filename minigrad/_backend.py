"""Chooses the compiled modules, or their plain Python twins when MINIGRAD_PURE=1."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

PURE = os.environ.get("MINIGRAD_PURE", "0") not in ("", "0")

if TYPE_CHECKING or PURE:
    from . import _kernels_py as kernels
    from . import _tape_py as chosen
    from . import _tape_walk_py as walking
else:
    try:
        from . import _kernels as kernels
        from . import _tape as chosen

        walking = chosen
    except ImportError as error:
        raise ImportError(
            "the compiled modules of minigrad aren't beside its source; in a checkout, "
            "`pip install -e .` builds them there; MINIGRAD_PURE=1 does without them, "
            "slowly"
        ) from error

ModeCore = chosen.ModeCore
Node = chosen.Node
OpCore = chosen.OpCore
TensorCore = chosen.TensorCore
apply = chosen.apply
get_mode = chosen.get_mode
get_watching = chosen.get_watching
set_mode = chosen.set_mode
set_operators = chosen.set_operators
set_tape = walking.set_tape
set_tensor_class = chosen.set_tensor_class
set_watcher = chosen.set_watcher
set_watching = chosen.set_watching
signature = chosen.signature
walk = walking.walk
wrap = chosen.wrap

# Last: the loop's twin reads the table of ops, which needs the names above.
if TYPE_CHECKING or PURE:
    from . import _loop_py as loop
    from . import _routine_py as routine
    from ._memory_py import empty
else:
    from . import _loop as loop
    from . import _routine as routine
    from ._memory import empty

__all__ = ["empty", "kernels", "loop", "routine"]
