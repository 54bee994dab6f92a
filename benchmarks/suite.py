"""The run: every subject, one table."""

from collections.abc import Iterator
from pathlib import Path

import torch
from rich.console import Console
from tqdm import tqdm

from benchmarks.engine import LINES, engine_subjects
from benchmarks.layers import SIZES, STEPS, layer_subjects
from benchmarks.measure import Subject, measure
from benchmarks.report import Row, table, write

Work = tuple[str, dict[str, Subject]]


def run(quick: bool, json: Path | None) -> None:
    """Measure everything on one thread, print the table, and write it if asked to."""
    torch.set_num_threads(1)
    rounds, shortest = (3, 0.005) if quick else (15, 0.02)
    sizes = SIZES[:-1] if quick else SIZES
    n_lines = len(STEPS) * len(sizes) + len(LINES)
    rows = []
    with tqdm(total=n_lines * rounds, desc="benchmarks", leave=False) as bar:
        for name, subjects in work(sizes):
            seconds = measure(
                subjects, rounds=rounds, shortest=shortest, tick=bar.update
            )
            rows.append(Row(name, seconds))
    Console().print(table(rows))
    if json:
        write(json, rows)


def work(sizes: list[tuple[int, int, int, int]]) -> Iterator[Work]:
    """The lines of the table, and what each one runs."""
    for name in STEPS:
        for size in sizes:
            label = ",".join(map(str, size))
            yield f"{name} {label}", layer_subjects(name, size)
    for name in LINES:
        yield name, engine_subjects(name)
