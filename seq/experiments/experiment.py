"""The frame of an experiment: its options, its data or a stand-in, and its number.

What the scripts in `examples/` share. A number stands beside those of plain methods.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from minigrad import optim
from seq.data.errors import MissingDataError
from seq.training import fit
from seq.training.history import History

T = TypeVar("T")


def arguments(
    name: str,
    doc: str,
    argv: Sequence[str] | None = None,
    *,
    more: Mapping[str, Mapping[str, Any]] | None = None,
) -> Any:
    """The options of a script: full, data, steps, picture.

    name: the script's, without .py; doc: its docstring, whose first line is shown;
    more: options of its own, each with what argparse is told of it.
    """
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="the run in the docs")
    parser.add_argument("--data", type=Path, help="the folder; else $MINIGRAD_DATA")
    parser.add_argument("--steps", type=int, help="stop each training after so many")
    parser.add_argument(
        "--picture", type=Path, default=Path(f"{name}.png"), help="default: %(default)s"
    )
    for flag, told in (more or {}).items():
        parser.add_argument(flag, **told)
    options = parser.parse_args(argv)
    if options.steps is not None and options.steps < 1:
        parser.error("--steps must be at least 1")
    return options


def data_or(
    read: Callable[[Path | None], T], generate: Callable[[], T], options: Any
) -> T:
    """What `read` finds in the folder; if it isn't there, what `generate` makes.

    Says which of them it is, in the script's first line.
    """
    try:
        data = read(options.data)
    except MissingDataError as error:
        print(f"A small generated set, since {error}")
        return generate()
    print("The public data set.")
    return data


def train(
    model: Any,
    batches: Any,
    options: Any,
    *,
    epochs: int,
    lr: float = 1e-2,
    clip_norm: float = 1.0,
    weight_decay: float = 0.0,
    **more: Any,
) -> History:
    """`seq.training.fit` with Adam, for so many epochs or for options.steps."""
    optimizer = optim.AdamW(model.parameters(), lr=lr, weight_decay=weight_decay)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    given = {"epochs": epochs, "steps": options.steps, "clip_norm": clip_norm}
    return fit(model, batches, optimizer, schedule=schedule, **given, **more)


def report(what: str, numbers: Mapping[str, float], form: str = ".3f") -> None:
    """Print what was measured, and each method's number, the model's last."""
    print(what)
    width = max(map(len, numbers))
    for method, number in numbers.items():
        print(f"  {method:<{width}}  {number:{form}}")


def split(n: int, share: float, rng: Any) -> tuple[Any, Any]:
    """The numbers 0..n-1, shuffled: those to train on, and a share to hold out."""
    order = rng.permutation(n)
    cut = n - max(1, round(n * share))
    return order[:cut], order[cut:]
