"""Ctrl-C that waits for the end of a step."""

import signal
import threading
from types import FrameType
from typing import Any


class Interrupt:
    """While it is entered, Ctrl-C sets `pressed`; pressed again, it stops at once.

    Off the main thread, or where Ctrl-C is ignored, nothing changes.
    """

    def __init__(self) -> None:
        self.pressed = False
        self._before: Any = None

    def __enter__(self) -> "Interrupt":
        before = signal.getsignal(signal.SIGINT)
        on_main = threading.current_thread() is threading.main_thread()
        if on_main and callable(before):
            self._before = before
            signal.signal(signal.SIGINT, self._press)
        return self

    def __exit__(self, *error: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _press(self, number: int, frame: FrameType | None) -> None:
        if self.pressed:
            self._before(number, frame)
        self.pressed = True
