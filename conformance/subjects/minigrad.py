"""minigrad's own layers, fused and eager."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import minigrad as mg
import seq

from .. import subject
from ..cases import LayerCase
from ..data import Data
from ..kinds import kind_of
from . import Answer, Subject


class Fused(Subject):
    """A layer's loop outside Python, as it is by default."""

    def loop(self) -> AbstractContextManager[None]:
        """Around the forward."""
        return nullcontext()

    def run(self, case: LayerCase, data: Data) -> Answer:
        """As the suite runs it."""
        with self.loop():
            done = subject.run(case, kind_of(case.kind), data, seq)
        return Answer(done.values, done.gradients(data.cotangents))


class Eager(Fused):
    """The same, op by op."""

    def loop(self) -> AbstractContextManager[None]:
        """Around the forward."""
        return mg.eager_loops()
