"""One run: every case, measured in this process on a number of threads."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

import torch
from tqdm import tqdm

import minigrad as mg
from benchmarks import (
    engine,
    gemm,
    language,
    layers,
    machine,
    ops,
    ragged,
    steps,
    streaming,
    writing,
)
from benchmarks.case import Case, build
from benchmarks.measure import Subject, measure
from benchmarks.needs import SIZES
from benchmarks.results import Row, Run

Times = Callable[[Mapping[str, Subject]], dict[str, list[float]]]

# Long enough for the workers of the last turn to fall asleep.
REST = 0.005


def layer_cases(threads: int, quick: bool) -> Iterator[Case]:
    """Layers and cells; with `quick`, at the two small sizes only."""
    sizes = SIZES[:2] if quick else SIZES
    yield from layers.cases(sizes)
    yield from writing.cases(sizes)
    if threads > 1:
        yield from writing.thread_cases(sizes, threads)
    yield from streaming.cases(streaming.SIZES)
    yield from ragged.cases(sizes)
    if threads == 1:
        yield from language.cases()


def op_cases(threads: int, quick: bool) -> Iterator[Case]:
    """The engine alone, from single ops to training steps; with `quick`, small ones."""
    yield from engine.cases()
    yield from steps.cases(quick)
    yield from ops.cases(quick)


SUITES = {"layers": layer_cases, "ops": op_cases}
"""Every line of every table, by the name of what is measured."""


def run(threads: int, quick: bool, chosen: Iterable[Case]) -> Run:
    """Measure the cases, in as many rounds for each."""
    chosen = list(chosen)
    rounds, shortest = (3, 0.005) if quick else (15, 0.02)
    load = machine.load()
    rows = []
    title = f"{threads} thread{'s' if threads > 1 else ''}"
    total = len(chosen) * rounds
    with tqdm(total=total, desc=title, leave=False, disable=None) as bar:
        for case in chosen:
            bar.set_postfix_str(case.label)
            use(threads)
            times = partial(
                measure,
                rounds=rounds,
                shortest=shortest,
                tick=bar.update,
                rest=lambda: time.sleep(REST if threads > 1 else 0),
            )
            rows.append(measured(case, times))
    return Run(threads, machine.facts() | {"load before": load}, gemm.FLOPS, rows)


def use(threads: int) -> None:
    """From now on; a case may have said otherwise."""
    torch.set_num_threads(threads)
    mg.set_num_threads(threads)


def measured(case: Case, times: Times) -> Row:
    """One case: its subjects take turns, and products with them if it counts FLOPs."""
    subjects, absent = build(case)
    products = gemm.subjects() if case.flops else {}
    seconds = times({**subjects, **products})
    return Row(
        case.part,
        case.name,
        case.size,
        {name: seconds[name] for name in subjects},
        case.flops,
        absent,
        {name: seconds[name] for name in products},
    )
