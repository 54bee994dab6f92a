"""A process that runs on so many cores and no more, whichever library it calls.

Libraries read their number of threads when they are loaded, some of them only then. So
every number of threads gets a process of its own, and a table is from one process.
Nothing here may import numpy.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

_NUMBERS = [
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    # How many XLA takes.
    "NPROC",
]
_CPU = Path("/sys/devices/system/cpu")


def environment(n: int) -> dict[str, str]:
    """What a process must find in its environment."""
    return {
        **dict.fromkeys(_NUMBERS, str(n)),
        "XLA_FLAGS": f"--xla_cpu_multi_thread_eigen={str(n > 1).lower()}",
        "JAX_PLATFORMS": "cpu",
        # Its workers wait in a busy loop, which would slow whoever has the next turn:
        # for 2^20 cycles, and not 64 times as many. OpenMP's stop soon enough.
        "OPENBLAS_THREAD_TIMEOUT": "20",
    }


def pin(n: int) -> None:
    """Keep this process, and all threads to come, on n cores, where that can be had."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, spread_out(available(), n, _core))


def available() -> list[int]:
    """The processors at hand."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def spread_out(cpus: Iterable[int], n: int, core_of: Callable[[int], str]) -> list[int]:
    """n processors, on as many cores as there are: siblings share one.

    >>> spread_out([0, 1, 2, 3], 2, lambda cpu: str(cpu // 2))
    [0, 2]
    """
    seen: dict[str, int] = {}
    rank = {}
    for cpu in cpus:
        core = core_of(cpu)
        rank[cpu] = seen[core] = seen.get(core, -1) + 1
    return sorted(rank, key=lambda cpu: (rank[cpu], cpu))[:n]


def _core(cpu: int) -> str:
    siblings = _CPU / f"cpu{cpu}/topology/thread_siblings_list"
    return siblings.read_text("utf-8") if siblings.exists() else str(cpu)
