"""All that can be run, in units that a filter selects and a progress bar counts."""

from __future__ import annotations

import functools
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch

from minigrad.op import OPS

from . import policy
from .cases import LayerCase, beyond, default, portable
from .checks import layers, loops, one_step, ops, optim
from .checks.optim_cases import optim_cases
from .judge import Pair
from .reference.twins import has_twin
from .result import Result

Check = Callable[[], Iterable[Result]]
Measurement = tuple[str, Callable[[int], Pair], int]
"""A family, one of its cases on PyTorch with the data of a seed, how many seeds."""
FEW = 40  # units that are done before other processes have started


def units(full: bool = False) -> dict[str, Check]:
    """Layer cases, single steps, loops, ops, optimisers and clipping, by id."""
    found: dict[str, Check] = {}
    for layer in default():
        found[layer.id] = functools.partial(layers.check_layer, layer)
    for layer in beyond() if full else ():
        found[layer.id] = functools.partial(_check_beyond, layer)
    for step in one_step.cell_cases():
        found[step.id] = functools.partial(one_step.check_cell, step)
    for loop in loops.loop_cases():
        found[loop.id] = functools.partial(loops.check_loop, loop)
    found["scan"] = loops.check_scan
    for op in OPS.values():
        found[ops.group_of(op)] = functools.partial(ops.check_op, op)
    for case in optim_cases():
        found[case.id] = functools.partial(optim.check_optim, case)
    return found


def _check_beyond(case: LayerCase) -> Iterator[Result]:
    """A case that only a full run has."""
    return layers.check_layer(case, errors=errors_beyond(case))


def errors_beyond(case: LayerCase) -> policy.Errors:
    """What a case that only a full run has may err: PyTorch's worst of as many."""
    errors = policy.recorded()
    groups = [errors.get(group, {}) for group in (case.family, _wide(case))]
    return {**errors, case.family: policy.worst_of_each(groups)}


def _wide(case: LayerCase) -> str:
    return f"{case.family}/full"


def run_units(
    names: Sequence[str], full: bool = False, jobs: int = 1
) -> Iterator[tuple[str, list[Result]]]:
    """The results of each unit, in the order of the names."""
    if jobs == 1 or len(names) <= FEW:
        yield from map(functools.partial(run_unit, units(full)), names)
        return
    # Forking a process in which PyTorch has started threads may hang.
    context = multiprocessing.get_context("spawn")
    with context.Pool(jobs, _start, (full,)) as pool:
        yield from pool.imap(_run_here, names, chunksize=4)


def run_unit(table: dict[str, Check], name: str) -> tuple[str, list[Result]]:
    """The results of one unit."""
    return name, list(table[name]())


_table: dict[str, Check] = {}


def _start(full: bool) -> None:
    torch.set_num_threads(1)
    _table.update(units(full))


def _run_here(name: str) -> tuple[str, list[Result]]:
    return run_unit(_table, name)


def torch_pairs() -> Iterator[Measurement]:
    """What PyTorch's float32 errors are recorded from."""
    twins = filter(has_twin, OPS.values())
    samples = (case for op in twins for case in ops.op_cases(op))
    sources: tuple[tuple[Iterable[Any], Callable[..., Pair]], ...] = (
        (dict.fromkeys((*default(), *portable())), layers.torch_pair),
        (one_step.cell_cases(), one_step.torch_pair),
        (samples, ops.torch_pair),
        (optim_cases(), optim.torch_pair),
    )
    for cases, pair in sources:
        for case in cases:
            if case.dtype == "float32" and case.is_measured:
                yield case.family, functools.partial(pair, case), policy.DRAWS
    for case in beyond():
        if case.dtype == "float32":
            yield _wide(case), functools.partial(layers.torch_pair, case), 1
