"""Golden vectors: what PyTorch computed, recorded, for where there's no PyTorch.

`docs/golden-vectors.md` is about the files beside this one. To read them numpy is
enough:

>>> from conformance import golden
>>> vector = golden.load("lstm/L1/T7/h0/f64")
>>> vector.expected["grad(h_n)"]["weight_ih_l0"].shape
(20, 3)
"""

from .vectors import Vector, case_ids, load, manifest

__all__ = ["Vector", "case_ids", "load", "manifest", "run"]


def run(case: str, check: str | None = None, mode: str = "fused") -> None:
    """Run one case by its id, and print the results of a check, or of all of them.

    mode: "fused" or "eager", the loop that the layers of `seq` run in.
    """
    from .command import run

    run(case, check, mode)
