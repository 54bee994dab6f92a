"""A bar that shows how far a run is, its loss, and how fast it goes."""

import time
from typing import Any

from minigrad.errors import MissingExtraError

PAUSE = 0.2  # seconds between two looks of the bar: a step may take microseconds


class Progress:
    """A tqdm bar over the steps of a run.

    shown: True; False; None for where tqdm is installed. Raises MissingExtraError
    if it is asked for and tqdm isn't there.
    """

    def __init__(self, shown: bool | None, total: int | None, done: int) -> None:
        self._bar = bar(shown, total=total, initial=done, unit="step")
        self._start()

    def step(self, total: float, count: int) -> None:
        """One step more: its summed loss, and how many targets it had."""
        if self._bar is None:
            return
        self._steps += 1
        self._total += total
        self._count += count
        elapsed = time.perf_counter() - self._since
        if elapsed >= PAUSE:
            self._show(elapsed)

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            if self._steps:
                self._show(time.perf_counter() - self._since)
            self._bar.close()

    def _start(self) -> None:
        self._steps, self._total, self._count = 0, 0.0, 0
        self._since = time.perf_counter()

    def _show(self, elapsed: float) -> None:
        loss, rate = self._total / self._count, self._count / elapsed
        self._bar.set_postfix_str(f"loss {loss:.4f}, {rate:,.0f} targets/s", False)
        self._bar.update(self._steps)
        self._start()


def bar(shown: bool | None, **options: Any) -> Any:
    """A tqdm bar, or None if none is to be shown; see `Progress`."""
    if shown is False:
        return None
    try:
        from tqdm import tqdm
    except ImportError as error:
        if shown is None:
            return None
        raise MissingExtraError(
            "a progress bar needs tqdm; "
            "install it with: pip install 'minigrad[progress]'"
        ) from error
    return tqdm(**options)
