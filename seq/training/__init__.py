"""One training loop for all models: rounds, clipping, early stopping, checkpoints.

A model is a Module with `loss(batch)`, which returns a `Loss`: the loss summed over
what is predicted, and how many predictions that were. The sum is the notes' loss, and
total / count the one per token, frame or example; both come from the one definition
that the model has. A model whose state goes on from batch to batch (truncated
backpropagation) has `loss(batch, state)` and returns the state too; `fit` detaches it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from minigrad import nn
from minigrad.errors import ArgumentError
from minigrad.optim import Optimizer
from minigrad.optim.schedule import Schedule
from seq.errors import located
from seq.files import FilePath
from seq.training import checkpoint as saved
from seq.training.history import History
from seq.training.loss import Batches, Loss, as_batches, evaluate
from seq.training.run import Options, Run

__all__ = ["Batches", "History", "Loss", "evaluate", "fit"]


def fit(
    model: Any,
    batches: Batches | Sequence[Any],
    optimizer: Optimizer,
    *,
    epochs: int | None = None,
    steps: int | None = None,
    every: int | None = None,
    held_out: Batches | Sequence[Any] | None = None,
    carry: bool = False,
    reduction: str = "mean",
    clip_norm: float | None = None,
    clip_value: float | None = None,
    schedule: Schedule | None = None,
    patience: int | None = None,
    checkpoint: FilePath | None = None,
    resume: bool = False,
    settings: Mapping[str, Any] | None = None,
    progress: bool | None = None,
) -> History:
    """Train until there were so many epochs or steps, or until it no longer helps.

    batches: `Batches`, or a list of batches, taken in its order. A step is one batch:
    the gradient of total / count (reduction="mean") or of total ("sum") is clipped, by
    norm or by value, and the optimiser steps. carry: the state goes from each batch to
    the next, and starts as None in each epoch.

    A round is `every` steps, or one epoch. At its end the loss per target on held_out
    is computed, the schedule is stepped (ReduceLROnPlateau by that loss), and the
    checkpoint is written. patience: stop after so many rounds without a new best
    held-out loss; the model then has the weights of the best round, however the run
    ended.

    checkpoint: a path. With resume, the run that was saved there goes on as if it had
    never been interrupted, to the last bit: pass the same arguments, and a model,
    an optimiser and a schedule made in the same way. settings: by name, what the run
    depends on and `fit` can't see, such as how the batches were made, as JSON can hold
    it; it is saved too, and must be the same on resume. Ctrl-C ends the step that is
    being done, writes the checkpoint, and raises KeyboardInterrupt; pressed twice it
    raises at once. progress: a bar; by default where tqdm is installed.

    Raises ArgumentError for bad arguments and for settings that aren't those saved,
    NonFiniteError for a loss or a gradient that is no finite number (the step is not
    made), MissingExtraError for a package that is needed, and for a checkpoint OSError,
    FileFormatError or StateDictError.
    """
    if not hasattr(model, "loss") or not isinstance(model, nn.Module):
        raise ArgumentError(
            "model must be a minigrad.nn.Module with a method loss(batch) that "
            f"returns a seq.training.Loss; got {type(model).__name__}"
        )
    held = None if held_out is None else as_batches(held_out)
    options = Options(
        epochs, steps, every, held, carry, reduction, clip_norm, clip_value, patience
    )
    if resume and checkpoint is None:
        raise ArgumentError("resume needs checkpoint, the path of the run's file")
    run = Run(model, as_batches(batches), optimizer, schedule, options, settings)
    if resume and checkpoint is not None:
        found = saved.load(checkpoint)
        with saved.understood(checkpoint), located(str(checkpoint)):
            run.load_state_dict(found)
    run.go(checkpoint, progress)
    return run.history
