"""PyTorch's own float32 errors, which the float32 limits are made from."""

from __future__ import annotations

import functools
import json
import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import torch
from tqdm import tqdm

from seq.files import write_whole

from . import policy
from .judge import largest, worst_errors
from .suite import Measurement, torch_pairs


def record(path: Path = policy.RECORD, jobs: int = 1) -> None:
    """Measure every family and write the file: all of it, or nothing."""
    errors: dict[str, dict[str, float]] = {}
    for family, found in measured(jobs):
        errors[family] = largest([errors.get(family, {}), found])
    write(path, errors)


def measured(jobs: int) -> Iterator[tuple[str, dict[str, float]]]:
    """A family and what PyTorch errs in it, case by case."""
    places = range(len(list(torch_pairs())))
    progress = functools.partial(tqdm, total=len(places), desc="PyTorch in float32")
    if jobs == 1:
        yield from progress(map(_measure, torch_pairs()))
        return
    # As in `suite.run_units`.
    with multiprocessing.get_context("spawn").Pool(jobs, _start) as pool:
        yield from progress(pool.imap(_measure_here, places, chunksize=8))


def _measure(one: Measurement) -> tuple[str, dict[str, float]]:
    family, pair, draws = one
    return family, worst_errors(pair, draws)


_pairs: list[Measurement] = []


def _start() -> None:
    torch.set_num_threads(1)
    _pairs.extend(torch_pairs())


def _measure_here(place: int) -> tuple[str, dict[str, float]]:
    return _measure(_pairs[place])


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
