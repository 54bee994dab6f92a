"""What a training run was like: the loss of each step, and of each round."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from seq.figures import new_figure, save_figure


class Round(NamedTuple):
    """What was found after a number of steps: losses per target, and the lr so far.

    train: over the steps of the round; held_out: None if there are no such data.
    """

    step: int
    train: float
    held_out: float | None
    lr: float


@dataclass
class History:
    """The losses of a run.

    totals and counts: of each step, the summed loss and how many targets it had;
    rounds: what was found at the end of each round; reason: why the run ended.
    """

    totals: list[float] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    rounds: list[Round] = field(default_factory=list)
    reason: str = ""

    @property
    def losses(self) -> list[float]:
        """The loss per target, step by step."""
        return [t / n for t, n in zip(self.totals, self.counts, strict=True)]

    @property
    def best(self) -> Round | None:
        """The first round with the lowest held-out loss; None if there are none."""
        found = [(r.held_out, r) for r in self.rounds if r.held_out is not None]
        if not found:
            return None
        return min(found, key=lambda pair: (math.isnan(pair[0]), pair[0]))[1]

    def mean(self, start: int = 0) -> float:
        """The loss per target over the steps from `start` on."""
        return sum(self.totals[start:]) / sum(self.counts[start:])

    def draw(
        self,
        path: Any,
        label: str = "loss per target",
        beside: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        """Draw the loss of each step, and of each round, as a picture at the path.

        beside: other losses by step, each with its name; or, as one number, a level.
        Raises what `seq.figures.new_figure` does, and OSError if it can't be written.
        """
        figure = new_figure(path, (7, 4))
        axes = figure.add_subplot(xlabel="step", ylabel=label)
        steps = range(1, len(self.totals) + 1)
        axes.plot(steps, self.losses, color="#8fb0d0", linewidth=0.8, label="step")
        for name, color in (("train", "#1f5a94"), ("held_out", "#c44e1c")):
            points = [(r.step, getattr(r, name)) for r in self.rounds]
            points = [(step, loss) for step, loss in points if loss is not None]
            if len(points) > 1:
                text = name.replace("_", " ")
                axes.plot(*zip(*points, strict=True), ".-", color=color, label=text)
        for name, losses in (beside or {}).items():
            if len(losses) == 1:
                axes.axhline(losses[0], linestyle=":", color="#444444", label=name)
            else:
                # Wide and below, so that two curves on each other are both seen.
                axes.plot(
                    range(1, len(losses) + 1),
                    losses,
                    color="#f3c9a5",
                    linewidth=5,
                    zorder=0.5,
                    label=name,
                )
        axes.grid(alpha=0.3)
        axes.legend()
        save_figure(path, figure)
