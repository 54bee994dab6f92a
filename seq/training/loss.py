"""What a model tells of a batch, where batches come from, the mean over all of them."""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.errors import ArgumentError


@dataclass(frozen=True, slots=True)
class Loss:
    """What `model.loss` returns.

    total: the loss summed over all targets, a Tensor of shape (); count: how many
    targets there were; state: what the next batch starts from, if the model carries
    one: Tensors, tuples of them, or None.
    """

    total: Tensor
    count: int
    state: Any = None


@runtime_checkable
class Batches(Protocol):
    """Batches that can be gone through again and again, each time in another order."""

    def epoch(self, number: int, start: int = 0) -> Iterator[Any]:
        """The batches of epoch `number`, from the one at `start` on.

        Always the same for the same number: a run that goes on meets the rest of them.
        """
        ...


class ListOfBatches:
    """A list of batches, in its own order in every epoch."""

    def __init__(self, batches: Sequence[Any]) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def epoch(self, number: int, start: int = 0) -> Iterator[Any]:
        """See `Batches`."""
        return iter(self.batches[start:])


def as_batches(batches: Any) -> Batches:
    """Batches as they are, a list of them as `ListOfBatches`."""
    if isinstance(batches, Batches):
        return batches
    if isinstance(batches, list | tuple):
        return ListOfBatches(batches)
    raise ArgumentError(
        "batches must be a list, or an object with epoch(number, start) such as "
        f"seq.text.batches has; got {type(batches).__name__}"
    )


def loss_of(model: Any, batch: Any, carries: bool, state: Any = None) -> Loss:
    """`model.loss`, checked to be a `Loss` of at least one target."""
    loss = model.loss(batch, state) if carries else model.loss(batch)
    if not isinstance(loss, Loss):
        raise ArgumentError(
            f"{type(model).__name__}.loss must return a seq.training.Loss(total, "
            f"count), got {type(loss).__name__}"
        )
    if loss.count < 1:
        raise ArgumentError(
            f"{type(model).__name__}.loss: a batch must have targets, got {loss.count}"
        )
    return loss


# Of each module that is evaluated now: the mode it is to have again, how many do so.
_modes: dict[int, bool] = {}
_times: Counter[int] = Counter()
_lock = threading.RLock()


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model in eval mode, without gradients; then each module in its own mode.

    Threads may evaluate one model at once: the modes are back after the last of them.
    """
    modules = {id(module): module for module in model.modules()}
    with _lock:
        for key, module in modules.items():
            _modes.setdefault(key, module.training)
        _times.update(modules.keys())
    try:
        with _lock:
            model.eval()
        with mg.no_grad():
            yield
    finally:
        with _lock:
            _times.subtract(modules.keys())
            if not _times[id(model)]:
                model.train(_modes[id(model)])  # a model may do more in it
            for key, module in modules.items():
                module.training = _modes[key] and not _times[key]
                if not _times[key]:
                    del _modes[key], _times[key]


def evaluate(
    model: Any, batches: Batches | Sequence[Any], *, carry: bool = False
) -> float:
    """The loss per target over all the batches, in eval mode and without gradients.

    Raises ArgumentError if there are no batches, or for no `Loss`.
    """
    total, count, state = 0.0, 0, None
    with evaluating(model):
        for batch in as_batches(batches).epoch(0):
            loss = loss_of(model, batch, carry, state)
            total, count = total + loss.total.item(), count + loss.count
            state = loss.state
    if not count:
        raise ArgumentError("there is nothing to evaluate: no batches")
    return total / count
