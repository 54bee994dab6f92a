"""PyTorch's own float32 errors, which the float32 limits are made from."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tqdm import tqdm

from . import policy
from .files import write_whole
from .judge import worst_errors
from .suite import torch_pairs


def record(path: Path = policy.RECORD) -> None:
    """Measure every family and write the file: all of it, or nothing."""
    errors: dict[str, dict[str, float]] = {}
    pairs = list(torch_pairs())
    for family, pair, seeds in tqdm(pairs, unit="case", desc="PyTorch in float32"):
        known = errors.setdefault(family, {})
        for name, error in worst_errors(map(pair, range(seeds))).items():
            known[name] = max(error, known.get(name, 0.0))
    write(path, errors)


def write(path: Path, errors: dict[str, dict[str, float]]) -> None:
    """One line a family, three digits a number; then put in place in one move."""
    rounded = {
        family: {name: float(f"{error:.2e}") for name, error in known.items()}
        for family, known in errors.items()
    }
    lines = [
        f"  {json.dumps(family)}: {json.dumps(known, allow_nan=False)}"
        for family, known in rounded.items()
    ]
    version = json.dumps(torch.__version__)
    body = ",\n".join(lines)
    head = f'"torch": {version},\n"seeds": {policy.SEEDS},\n'
    text = f'{{\n{head}"errors": {{\n{body}\n}}\n}}\n'
    write_whole(path, text)
