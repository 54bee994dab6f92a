"""What the numbers depend on."""

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

PACKAGES = ["numpy", "torch", "jax", "onnxruntime", "autograd"]


def facts() -> dict[str, Any]:
    """The machine, and the versions of what was measured."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
        "vectors": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
    }


def load() -> float | None:
    """How many processes ran in the last minute: of a busy machine, trust nothing."""
    return round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    """The processor's name, which only Linux tells in full."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text("utf-8").splitlines() if facts.exists() else []
    names = [line.partition(":")[2] for line in lines if line.startswith("model name")]
    return names[0].strip() if names else platform.processor() or platform.machine()
