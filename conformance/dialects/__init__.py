"""The dialects of the frameworks, as data: which rows of PyTorch's are where.

Of each layer that computes the same as one of ours, if the weights are right. Where a
framework merges biases, the sum is listed; where its gate is 1 minus ours, it is
inverted, that is, its weights have the other sign. `notation.py` converts by it.
"""

from __future__ import annotations

from .notation import Dialect, NotRepresentableError
from .others import OTHERS
from .subjects import SUBJECTS

__all__ = ["DIALECTS", "Dialect", "NotRepresentableError", "dialect"]

DIALECTS: tuple[Dialect, ...] = (*SUBJECTS, *OTHERS)


def dialect(framework: str, kind: str, layer: str = "") -> Dialect:
    """The dialect of a framework's layer; LookupError says which ones there are.

    layer: its name, where a framework has several layers of a kind.
    """
    for found in DIALECTS:
        named = found.framework, found.kind
        if named == (framework, kind) and layer in ("", found.layer):
            return found
    known = sorted({d.kind for d in DIALECTS if d.framework == framework})
    if known:
        raise LookupError(f"{framework} has no {kind} {layer}; it has {known}")
    names = sorted({d.framework for d in DIALECTS})
    raise LookupError(f"there is no dialect of {framework!r}; there are {names}")
