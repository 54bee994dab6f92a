"""What was measured, as tables in Markdown, so that they can be quoted."""

from collections.abc import Iterator, Sequence

from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from benchmarks import needs
from benchmarks.measure import ratio, spread
from benchmarks.results import OURS, Limit, Row, Run

_UNITS = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}
_SHORT = " ✗"
TITLES = {
    "training": "Training: forward, and backward to the input and all parameters",
    "inference": "Inference: forward, nothing recorded",
    "writing": "Written otherwise: what it costs beside the built-in cell",
    "threads": "Threads: the training step on all of them, beside one",
    "streaming": "Streaming: one step, batch 1, from numpy to numpy; I,H",
    "reading": "Streaming, beside the time to read the weights once; I,H",
    "lengths": "Lengths: the training step of ragged rows, beside more steps",
    "language": "Character models: a whole training step; T,B,tokens,H",
    "sampling": "Character models: a text, drawn one by one; characters,B,tokens,H",
    "engine": "Recording: arrays so small that only the bookkeeping is left",
    "steps": "Steps: of an optimiser, of training, and an import",
    "no_grad": "Single ops: forward, nothing recorded; ten calls, one of the largest",
    "forward": "Single ops: forward, recorded",
    "gradients": "Single ops: forward, and backward to every float input",
}
WIDTH = 132


def show(runs: Sequence[Run]) -> None:
    """Print all runs, the machine's limit first."""
    console = Console()
    # Not a terminal's 80 columns: a table in a file must not be folded.
    console.width = max(console.width, WIDTH)
    for line in (limit_line(runs), *tables(runs), caption(runs)):
        console.print(line)


def limit_line(runs: Sequence[Run]) -> str:
    """The largest GEMM rate for each number of threads."""
    found = [(run.threads, limit) for run in runs if (limit := run.limit())]
    rates = [
        f"{limit.rate / 1e9:.0f} GFLOP/s on {_threads(n)} ({limit.name})"
        for n, limit in found
    ]
    return f"Largest GEMM, float32: {'; '.join(rates) or 'not measured'}"


def tables(runs: Sequence[Run]) -> Iterator[Table]:
    """One for each part and each number of threads."""
    for run in runs:
        for part in dict.fromkeys(row.part for row in run.rows):
            yield table(run, part)


def table(run: Run, part: str) -> Table:
    """A line for each subject beside ours."""
    rows = [row for row in run.rows if row.part == part]
    limit, counted = run.limit(), any(row.flops for row in rows)
    shown = Table(title=f"\n{TITLES[part]}; {_threads(run.threads)}", box=MARKDOWN)
    shown.add_column("")
    shown.add_column("beside")
    cost = "ours/its" if part in needs.COSTS else "its/ours"
    products = ["at most", "GEMM share"] if counted else []
    for heading in (OURS, "its", cost, "needs", *products):
        shown.add_column(heading, justify="right")
    for row in rows:
        for beside in row.others:
            is_first = beside == row.others[0]
            ceiling = limit and limit.ceiling(row, beside)
            share = _share(row, run.threads, limit) if is_first else ""
            more = [f"{ceiling:.2f}" if ceiling else "", share] if counted else []
            shown.add_row(*_cells(row, beside, run.threads), *more)
    return shown


def caption(runs: Sequence[Run]) -> str:
    """How to read the tables, and what they depend on."""
    met = [is_met for run in runs for is_met in verdicts(run)]
    # The load before the first run: the others find that of the runs before.
    facts = dict(item for run in reversed(runs) for item in run.machine.items())
    return (
        f"\n{sum(met)} of {len(met)} needs are met;{_SHORT} marks the others. Times: "
        "the median of one call, and the interquartile range as a part of it. A ratio "
        "is the median over the rounds; at most: if ours took no longer than its "
        "products do at the largest rate of this machine, and all else no time.\n"
        + ", ".join(f"{key} {value}" for key, value in facts.items())
    )


def verdicts(run: Run) -> Iterator[bool]:
    """Whether each need is met; one of a subject that is not there is not."""
    limit = run.limit()
    for row in run.rows:
        for beside in row.others:
            need = needs.need(row.part, row.name, beside, row.size, run.threads)
            if need:
                found = quotient(row, beside)
                yield found is not None and need.is_met(found)
        need, share = _share_need(row, run.threads), limit and limit.share(row)
        if need:
            yield share is not None and need.is_met(share)


def quotient(row: Row, beside: str) -> float | None:
    """The other's time divided by ours, or ours by its where a cost is asked for."""
    if OURS not in row.seconds or beside not in row.seconds:
        return None
    times = row.seconds[beside], row.seconds[OURS]
    return ratio(*(reversed(times) if row.part in needs.COSTS else times)).median


def _cells(row: Row, beside: str, threads: int) -> list[str]:
    need = needs.need(row.part, row.name, beside, row.size, threads)
    found = quotient(row, beside)
    verdict = _SHORT if need and not (found and need.is_met(found)) else ""
    return [
        f"{row.name} {','.join(map(str, row.size))}",
        beside,
        _time(row, OURS),
        _time(row, beside),
        "" if found is None else f"{found:.2f}{verdict}",
        str(need or ""),
    ]


def _share(row: Row, threads: int, limit: Limit | None) -> str:
    found = limit and limit.share(row)
    if found is None:
        return ""
    need = _share_need(row, threads)
    if need is None:
        return f"{found:.0%}"
    return f"{found:.0%}{'' if need.is_met(found) else _SHORT} (≥ {need.limit:.0%})"


def _share_need(row: Row, threads: int) -> needs.Need | None:
    return needs.share(row.part, row.name, row.size, threads)


def _time(row: Row, name: str) -> str:
    """The median to three digits, and the interquartile range as a part of it."""
    if name in row.absent:
        return row.absent[name]
    low, median, high = spread(row.seconds[name])
    # 999.6 µs, to three digits, is 1.00 ms.
    unit, size = next((n, u) for n, u in _UNITS.items() if median >= 0.9995 * u)
    number = f"{median / size:#.3g}".removesuffix(".")
    return f"{number} {unit} ±{(high - low) / median:.0%}"


def _threads(n: int) -> str:
    return f"{n} thread{'s' if n > 1 else ''}"
