"""What is recorded here: nothing, what has a gradient, or everything (a trace)."""

from __future__ import annotations

import functools
import inspect
import linecache
import os
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar, overload

from . import _backend
from .errors import GraphError, check_callable

PACKAGE = os.path.dirname(__file__) + os.sep
_in_step: ContextVar[bool] = ContextVar("in_step", default=False)

F = TypeVar("F", bound=Callable[..., Any])

OFF, ON, TRACE = 0, 1, 2  # record nothing; what has a gradient; everything


class GradMode(_backend.ModeCore):
    """A context manager and decorator that sets whether ops are recorded."""

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        check_callable(function, "what is decorated")

        @functools.wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with GradMode(self.mode):
                return function(*args, **kwargs)

        @functools.wraps(function)
        def steps(*args: Any, **kwargs: Any) -> Any:
            return self._steps(function(*args, **kwargs))

        return steps if inspect.isgeneratorfunction(function) else inside

    def _steps(self, generator: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """The generator, with the mode for its own code and not for its consumer's."""
        resume: Callable[[], Any] = functools.partial(next, generator)
        while True:
            try:
                with GradMode(self.mode):
                    value = resume()
            except StopIteration as stop:
                return stop.value
            try:
                resume = functools.partial(generator.send, (yield value))
            except BaseException as error:
                resume = functools.partial(generator.throw, error)


@overload
def no_grad() -> GradMode: ...


@overload
def no_grad(function: F) -> F: ...


def no_grad(function: Any = None) -> Any:
    """Record nothing inside: `with no_grad():`, or as a decorator, `@no_grad` too.

    Raises GraphError inside a trace, which must see everything.
    """
    return GradMode(OFF) if function is None else GradMode(OFF)(function)


@overload
def enable_grad() -> GradMode: ...


@overload
def enable_grad(function: F) -> F: ...


def enable_grad(function: Any = None) -> Any:
    """Record again, inside a no_grad()."""
    return GradMode(ON) if function is None else GradMode(ON)(function)


def is_grad_enabled() -> bool:
    """Whether ops are recorded here, in this thread."""
    return _backend.get_mode() != OFF


def trace_mode() -> GradMode:
    """Record every op on what comes from a leaf, differentiable or not."""
    return GradMode(TRACE)


@contextmanager
def step_mode() -> Iterator[None]:
    """Trace the step of a loop: what it makes afresh would be the same at each step."""
    token = _in_step.set(True)
    try:
        with trace_mode():
            yield
    finally:
        _in_step.reset(token)


def refuse_in_step(what: str, instead: str) -> None:
    """Raise GraphError if a step is traced here: `what` would happen once, for all."""
    if is_tracing() and _in_step.get():
        raise GraphError(
            f"{what} inside a step of scan would happen once, for all steps; {instead} "
            f"(at {caller()})"
        )


def caller() -> str:
    """The innermost line outside this package, as file:line: source."""
    frame = sys._getframe(1)
    while frame.f_back and frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    file, line = frame.f_code.co_filename, frame.f_lineno
    source = linecache.getline(file, line).strip()
    return f"{file}:{line}" + (f": {source}" if source else "")


def is_tracing() -> bool:
    """Whether a trace runs here: the values that it sees stand for others."""
    return _backend.get_mode() == TRACE
