"""minigrad's own layers, fused and eager."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import minigrad as mg
import seq

from ..cases import LayerCase
from ..checks import under_test
from ..data import Data, sized
from ..kinds import kind_of
from . import Answer, Subject


class Fused(Subject):
    """A layer's loop outside Python, as it is by default."""

    packages = ("minigrad", "numpy")

    def loop(self) -> AbstractContextManager[None]:
        """Around the forward."""
        return nullcontext()

    def run(self, case: LayerCase, data: Data) -> Answer:
        """As the suite runs it."""
        with self.loop():
            kind = sized(kind_of(case.kind), data.parameters)
            done = under_test.run(case, kind, data, seq)
        return Answer(done.values, done.gradients(data.cotangents))


class Eager(Fused):
    """The same, op by op."""

    def loop(self) -> AbstractContextManager[None]:
        """Around the forward."""
        return mg.eager_loops()
