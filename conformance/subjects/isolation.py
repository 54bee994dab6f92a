"""A subject in a process of its own, which can be killed when it doesn't answer."""

from __future__ import annotations

import importlib.metadata
import multiprocessing
from collections.abc import Mapping
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from ..cases import LayerCase
from ..data import Data
from ..dialects import NotRepresentableError
from . import Answer, Subject, load

Array = np.ndarray[Any, Any]

START_SECONDS = 300.0  # to import a framework from a cold disk
STOP_SECONDS = 5.0
OUTPUTS = ("output", "h_n", "c_n")


@dataclass(frozen=True)
class Facts:
    """What a subject says of itself before it runs anything."""

    versions: Mapping[str, str]
    outputs: tuple[str, ...] | None
    differentiates: bool
    padding: float
    empty_rows: bool
    any_size: bool


@dataclass(frozen=True)
class Reply:
    """What became of one run: an answer, or why there is none.

    status: "answered", "unsupported", "not representable" or "broken".
    """

    status: str
    text: str = ""
    answer: Answer | None = None
    modified: tuple[str, ...] = ()


class SubjectError(RuntimeError):
    """A subject that can't even be made."""


class Worker:
    """Runs one subject, one case at a time; started again after it was lost."""

    def __init__(self, name: str, seconds: float) -> None:
        """Start it. Raises SubjectError if the subject can't be imported or made."""
        self.name = name
        self.seconds = seconds
        self._start()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def run(self, case: LayerCase, data: Data) -> Reply:
        """Have the subject run a case; what it does wrong is in the reply."""
        if not self._process.is_alive():
            self._start()
        try:
            self._pipe.send((case, data))
            if self._pipe.poll(self.seconds):
                return self._pipe.recv()
            text = f"hangs: no answer within {self.seconds:g} s"
        except (EOFError, BrokenPipeError, ConnectionResetError):
            self._process.join(STOP_SECONDS)
            text = f"its process died, with exit code {self._process.exitcode}"
        self.stop()
        return Reply("broken", text)

    def stop(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def _start(self) -> None:
        # A forked process would share threads and compiled state with this one.
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=serve, args=(theirs, self.name), daemon=True
        )
        self._process.start()
        theirs.close()
        try:
            found = self._pipe.recv() if self._pipe.poll(START_SECONDS) else "hangs"
        except EOFError:
            found = "its process died"
        if isinstance(found, str):
            self.stop()
            raise SubjectError(f"the subject {self.name} can't be made: {found}")
        self.facts: Facts = found


def serve(pipe: Connection, name: str) -> None:
    """The process: make the subject, then answer until there is nobody to ask."""
    try:
        subject = load(name)
        facts = facts_of(subject)
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {error}")
        return
    pipe.send(facts)
    while True:
        try:
            case, data = pipe.recv()
        except (EOFError, OSError):
            return
        pipe.send(attempt(subject, case, data))


def facts_of(subject: Subject) -> Facts:
    """What a subject says of itself; TypeError for outputs that no layer has."""
    names = subject.outputs
    if names is not None and (isinstance(names, str) or not {*names} <= {*OUTPUTS}):
        raise TypeError(f"outputs must be some of {OUTPUTS} in a tuple, not {names!r}")
    return Facts(
        {name: version_of(name) for name in subject.packages},
        subject.outputs,
        subject.differentiates,
        subject.padding,
        subject.empty_rows,
        subject.any_size,
    )


def version_of(distribution: str) -> str:
    """What is installed, or that it runs from its sources."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "from source"


def attempt(subject: Subject, case: LayerCase, data: Data) -> Reply:
    """One run, and a look at what it did to its inputs."""
    given = copied(data, case.strided)
    try:
        if reason := subject.refuses(case):
            return Reply("unsupported", reason)
        answer = subject.run(case, given)
    except NotRepresentableError as error:
        return Reply("not representable", str(error))
    except Exception as error:
        return Reply("broken", f"raised {type(error).__name__}: {error}")
    modified = tuple(
        name
        for name, array in arrays_of(given).items()
        if not np.array_equal(array, arrays_of(data)[name], equal_nan=True)
    )
    if text := malformed(answer):
        return Reply("broken", text, modified=modified)
    return Reply("answered", answer=answer, modified=modified)


def malformed(answer: Any) -> str:
    """What is wrong with an answer before its numbers are looked at."""
    if not isinstance(answer, Answer):
        return f"returned a {type(answer).__name__}, not an Answer"
    parts: dict[str, Any] = {"outputs": answer.outputs}
    if answer.gradients is not None:
        parts["gradients"] = answer.gradients
    for what, arrays in parts.items():
        if not isinstance(arrays, Mapping):
            return f"{what} is a {type(arrays).__name__}, not a dict of arrays by name"
        for name, array in arrays.items():
            if not isinstance(name, str):
                return f"{what}: the name {name!r} is not a str"
            if not isinstance(array, np.ndarray):
                kind = type(array).__name__
                return f"{what}: {name} is a {kind}, not a numpy array"
            if array.dtype.kind not in "biuf":
                return f"{what}: {name} holds {array.dtype}, not real numbers"
    return ""


def arrays_of(data: Data) -> dict[str, Array]:
    """Every array that a subject is given."""
    found = {**data.inputs, **data.parameters, **data.constants}
    found |= {f"cotangent of {name}": a for name, a in data.cotangents.items()}
    found |= {f"mask {place}": mask for place, mask in enumerate(data.masks or [])}
    return found if data.lengths is None else {**found, "lengths": data.lengths}


def copied(data: Data, strided: bool) -> Data:
    """The same in arrays of its own, contiguous along no axis if `strided`."""

    def copy(array: Array) -> Array:
        if not strided:
            return array.copy()
        first, last = 0, min(1, array.ndim - 1)
        turned = array.swapaxes(first, last)
        return np.stack([turned, turned], -1)[..., 0].swapaxes(first, last)

    def copies(arrays: Mapping[str, Array]) -> dict[str, Array]:
        return {name: copy(array) for name, array in arrays.items()}

    return replace(
        data,
        inputs=copies(data.inputs),
        parameters=copies(data.parameters),
        cotangents=copies(data.cotangents),
        constants=copies(data.constants),
        lengths=None if data.lengths is None else copy(data.lengths),
        masks=None if data.masks is None else [copy(mask) for mask in data.masks],
    )
