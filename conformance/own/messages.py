"""What an assertion says: what differed, by how much, what that may mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..result import Result

SHOWN = 8  # other failing checks of the case that are named
HINTS = {
    "value ": "A value differs: an equation, the order of the gates, or the loop.",
    "grad": "The values agree, and a gradient doesn't: it is the backward.",
    "second ": "Values and gradients agree, and a second derivative doesn't: the "
    "backward can't be differentiated, or not rightly. One that isn't meant to be "
    "raises NotImplementedError where its gradients are recorded, and isn't asked.",
    "differences: ": "The reference has the same gradient, which isn't the slope: "
    "something is detached, or depends on more than its arguments.",
    "padding: ": "What lies past the end of a row shows, or gets a gradient.",
}


def explain(title: str, results: Sequence[Result], code: str, hint: str = "") -> str:
    """The failures among the results of one case; code shows them alone."""
    first, *others = (result for result in results if not result.passed)
    count = f"{len(others) + 1} of {len(results)} checks of {first.case} failed"
    lines = [f"{title}: {count}", str(first)]
    if others:
        names = ", ".join(result.check for result in others[:SHOWN])
        lines.append(f"also: {names}" + ", ..." * (len(others) > SHOWN))
    if np.isfinite(first.error):  # else the detail has said it: a shape, a dtype, ...
        lines += [h for start, h in HINTS.items() if first.check.startswith(start)]
    lines += [hint] * bool(hint)
    return "\n".join([*lines, "", "To see it alone:", "", code])
