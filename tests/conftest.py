"""What tests of several rooms share."""

import gc
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from minigrad.fused import call
from minigrad.fused.plan import Cache
from minigrad.op import OPS

# A shell has what it runs in the background ignore Ctrl-C, and its children too: the
# tests that press it would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def op_table() -> Iterator[None]:
    """An op that is added in a test must not be met by the tests that follow."""
    before = dict(OPS)
    yield
    OPS.clear()
    OPS.update(before)


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Without the collector, only what is in no reference cycle is freed."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def traces(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """How many steps were traced, none of which is known before: a list that grows."""
    found = []
    trace = call.trace_step

    def counted(*args: Any) -> Any:
        found.append(args)
        return trace(*args)

    monkeypatch.setattr(call, "trace_step", counted)
    monkeypatch.setattr(call, "plans", Cache())
    return found
