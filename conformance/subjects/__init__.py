"""What a recurrent implementation has to be, for the suite to run it.

A subject says which cases it can do, and runs one of them: numpy arrays in, numpy
arrays out. It is named "package.module:object", an object being a Subject or what
returns one when called; the built-in ones have short names too. docs/subjects.md shows
how to write one.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..cases import LayerCase
from ..data import Data

Array = np.ndarray[Any, Any]

BUILT_IN = {
    "minigrad": "conformance.subjects.minigrad:Fused",
    "minigrad-eager": "conformance.subjects.minigrad:Eager",
    "torch": "conformance.subjects.torch:Torch",
    "jax": "conformance.subjects.jax:Scan",
    "flax-linen": "conformance.subjects.flax:Linen",
    "flax-nnx": "conformance.subjects.flax:Nnx",
    "keras-jax": "conformance.subjects.keras:OnJax",
    "keras-torch": "conformance.subjects.keras:OnTorch",
    "onnxruntime": "conformance.subjects.onnx:Runtime",
    "onnx-reference": "conformance.subjects.onnx:Reference",
    "thinc": "conformance.subjects.thinc:Thinc",
}
"""Short names; a module here is imported when it is asked for."""


@dataclass(frozen=True)
class Answer:
    """What a subject computed, in the layouts and the dtype of the case's data.

    outputs: "output", and each final state, "h_n", "c_n". gradients: for each input
    and parameter that of <cotangents, outputs>; None from a subject that has none.
    """

    outputs: Mapping[str, Array]
    gradients: Mapping[str, Array] | None = None


class Subject:
    """One implementation. The attributes say what it promises, for all cases."""

    packages: tuple[str, ...] = ()
    """Distributions whose versions a report names."""
    outputs: tuple[str, ...] | None = None
    """What it returns; None is all that the kind of layer has."""
    differentiates: bool = True
    """Whether it answers with gradients."""
    padding: float = np.nan
    """What x holds past a row's end; finite where the implementation asks for that:
    then x has no NaN elsewhere, either."""
    empty_rows: bool = True
    """Whether a row may have no steps; if not, each has at least one."""
    any_size: bool = True
    """Whether it goes by the sizes of the arrays; if not, they are always the same."""

    def refuses(self, case: LayerCase) -> str:
        """Why there is no such thing in this implementation; "" if there is."""
        return ""

    def run(self, case: LayerCase, data: Data) -> Answer:
        """Run a case that it doesn't refuse.

        data: `inputs` are "x", laid out as the case says, and, if the case has a
        state, "h_0" (and "c_0"), (layers * directions, B, size); `parameters` have
        PyTorch's names and shapes; `lengths` are B integers or None; `masks`, of what
        is kept between layers, a list or None; `cotangents` those of some outputs.
        Arrays may be strided; none of them may be written to. Raises
        NotRepresentableError for weights that the implementation can't hold.
        """
        raise NotImplementedError(f"{type(self).__name__}.run")


def load(name: str) -> Subject:
    """The subject of a name: a short one, or "package.module:object".

    Raises ValueError for what is no such name, TypeError for what is no subject, and
    whatever importing and making it raises.
    """
    module, colon, attribute = BUILT_IN.get(name, name).partition(":")
    if not (module and colon and attribute):
        raise ValueError(
            f"a subject is one of {', '.join(BUILT_IN)}, or package.module:object, "
            f"not {name!r}"
        )
    found = getattr(importlib.import_module(module), attribute)
    subject = found if isinstance(found, Subject) else found()
    if not isinstance(subject, Subject):
        raise TypeError(
            f"{name} is a {type(subject).__name__}, not a conformance.subjects.Subject"
        )
    return subject
