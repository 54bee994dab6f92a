"""A case: the subjects that take turns in one line of a table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.measure import Subject
from conformance.policy import relative_error

Size = tuple[int, ...]
Makers = Mapping[str, Callable[[], Subject]]

# Not a tolerance of ours: it tells another computation, such as gates in another order,
# from float32's rounding over the longest sequence. The layer-norm LSTM rounds worst:
# its first step divides by the spread of zeros, sqrt(eps), and at (100, 32, 128, 256)
# ours and PyTorch's are 2.3e-3 apart.
SAME = 1e-2


class Absent(Exception):
    """A subject that can not be had here; says why."""


@dataclass(frozen=True)
class Case:
    """What is measured in one line; nothing is made before `makers` is called.

    makers: makes what the subjects share, and returns how to make each, ours first.
    flops: of one call of ours. alike: whether all subjects return the same numbers, up
    to a relative error of `same`.
    """

    part: str
    name: str
    size: Size
    makers: Callable[[], Makers]
    flops: float = 0.0
    alike: bool = True
    same: float = SAME

    @property
    def label(self) -> str:
        """Part, name and size: what `--only` looks in."""
        return f"{self.part} {self.name} {','.join(map(str, self.size))}"


def build(case: Case) -> tuple[dict[str, Subject], dict[str, str]]:
    """The subjects that can be had, held against each other; why not, for the rest."""
    subjects: dict[str, Subject] = {}
    absent: dict[str, str] = {}
    for name, make in case.makers().items():
        try:
            subjects[name] = make()
        except ModuleNotFoundError as error:
            absent[name] = f"{error.name} is not installed"
        except Absent as error:
            absent[name] = str(error)
    if case.alike:
        check(case.label, subjects, case.same)
    return subjects, absent


def check(label: str, subjects: Mapping[str, Subject], same: float = SAME) -> None:
    """Call each once; raise ValueError unless all return what the first returns."""
    results = {name: arrays(subject()) for name, subject in subjects.items()}
    for name, result in results.items():
        worst = error(result, next(iter(results.values())))
        if not worst <= same:
            first = next(iter(results))
            raise ValueError(f"{label}: {name} differs from {first} by {worst:.1e}")


def error(result: list[Any], reference: list[Any]) -> float:
    """The largest relative error of an array.

    Parameters that one subject keeps apart and another one stacks are compared end to
    end.
    """
    if len(result) != len(reference):
        result = [*result[:2], np.concatenate([a.ravel() for a in result[2:]])]
        reference = [*reference[:2], np.concatenate([a.ravel() for a in reference[2:]])]
    return max(map(relative_error, result, reference), default=0.0)


def arrays(result: Any) -> list[Any]:
    """What a subject returned, as numpy arrays."""
    values = result if isinstance(result, tuple) else (result,)
    return [np.asarray(v.detach() if hasattr(v, "detach") else v) for v in values]
