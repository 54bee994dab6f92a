"""A run of `seq.training.fit`: all that changes on the way, and what is saved of it."""

import json
import operator
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np

from minigrad import Tensor, nn, rng
from minigrad.errors import ArgumentError, NonFiniteError, StateDictError
from minigrad.nn.parameter import clear_grads
from minigrad.optim import Optimizer
from minigrad.optim.lr_scheduler import ReduceLROnPlateau
from seq.files import FilePath
from seq.parameters import check_int
from seq.training import checkpoint
from seq.training.history import History, Round
from seq.training.interrupt import Interrupt
from seq.training.loss import Batches, evaluate, loss_of
from seq.training.progress import Progress


@dataclass(frozen=True)
class Options:
    """What `fit` is told, and never changes. Raises ArgumentError for bad ones."""

    epochs: int | None
    steps: int | None
    every: int | None
    held_out: Batches | None
    carry: bool
    reduction: str
    clip_norm: float | None
    clip_value: float | None
    patience: int | None

    def __post_init__(self) -> None:
        if self.epochs is None and self.steps is None:
            raise ArgumentError("say how long to train: epochs=..., steps=..., or both")
        for name in ("epochs", "steps", "every", "patience"):
            if getattr(self, name) is not None:
                check_int(name, getattr(self, name), 1)
        if self.reduction not in ("mean", "sum"):
            raise ArgumentError(
                f"reduction must be 'mean' or 'sum', got {self.reduction!r}"
            )
        if self.patience is not None and self.held_out is None:
            raise ArgumentError("patience needs held_out, the data that it looks at")


class Run:
    """The model, what trains it, and where in the data the run is.

    epoch and index: the batch that comes next; round_epoch: the epoch in which the
    round began; state: what the model carries to the next batch; best: the weights of
    the best round, kept if there is a patience.
    """

    def __init__(
        self,
        model: Any,
        batches: Batches,
        optimizer: Optimizer,
        schedule: Any,
        options: Options,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.model, self.batches = model, batches
        self.optimizer, self.schedule = optimizer, schedule
        self.options = options
        # As it comes out of a file, to be compared with what does.
        self.settings = None if settings is None else _as_saved(settings)
        self.history = History()
        self.epoch = self.index = self.round_epoch = 0
        self.state: Any = None
        self.best: dict[str, Tensor] = {}

    def go(self, path: FilePath | None, shown: bool | None) -> None:
        """Do what is left of the run; write the checkpoint at the end of each round."""
        self.model.train()
        progress = Progress(shown, self._n_steps(), self.n_done)
        try:
            with Interrupt() as interrupt:
                self._end_round_if_due(path)
                while not self._is_over():
                    self._go_through_epoch(path, progress, interrupt)
                if interrupt.pressed:  # in the last round's end
                    self._stop(path)
        finally:
            progress.close()
            if self.best:
                self.model.load_state_dict(self.best)

    @property
    def n_done(self) -> int:
        """The number of steps that were done."""
        return len(self.history.totals)

    def state_dict(self) -> dict[str, Any]:
        """All that the run needs to go on."""
        settings = {} if self.settings is None else {"settings": self.settings}
        return {
            **settings,
            "model": self.model.state_dict(),
            "best": self.best,
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule and self.schedule.state_dict(),
            "generators": [g.bit_generator.state for g in generators(self.model)],
            "state": self.state,
            "place": [self.epoch, self.index, self.round_epoch],
            "totals": np.array(self.history.totals, np.float64),
            "counts": np.array(self.history.counts, np.int64),
            "rounds": self.history.rounds,
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from a `state_dict`, in which keys may be texts, and tuples lists.

        Raises ArgumentError if its settings are others, StateDictError if it is of
        another model, optimiser or schedule.
        """
        self._check_settings(saved.get("settings"))
        own = generators(self.model)
        if saved.keys() != self.state_dict().keys():
            raise StateDictError("this is no checkpoint of a run of this version")
        if len(own) != len(saved["generators"]):
            raise StateDictError(
                f"the checkpoint has {len(saved['generators'])} generators, "
                f"the model {len(own)}"
            )
        if bool(self.schedule) != bool(saved["schedule"]):
            raise StateDictError(
                "a schedule was saved, but there is none"
                if saved["schedule"]
                else "there is a schedule, but none was saved"
            )
        history = history_of(saved)
        if self.options.patience and history.best and not saved["best"]:
            raise ArgumentError(
                "the run was saved without patience, so the weights of its best round "
                "are not in it; go on without patience, or start anew, without resume"
            )
        optimizer = saved["optimizer"]
        numbered = {int(n): entry for n, entry in optimizer["state"].items()}
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict({**optimizer, "state": numbered})
        if self.schedule:
            self.schedule.load_state_dict(saved["schedule"])
        for generator, state in zip(own, saved["generators"], strict=True):
            generator.bit_generator.state = state
        self.state = _as_tuples(saved["state"])
        # Without patience nobody looks for a better round, so the last weights count.
        self.best = {} if self.options.patience is None else saved["best"]
        place = list(map(operator.index, saved["place"]))
        if min(place) < 0:
            raise ValueError(f"a place in the data must be from 0 on, not {place}")
        self.epoch, self.index, self.round_epoch = place
        self.history = history

    def _check_settings(self, saved: dict[str, Any] | None) -> None:
        """Refuse other ones: with them it would be another run, on the same weights."""
        if saved == self.settings:
            return
        if saved is None or self.settings is None:
            which = "without" if saved is None else "with"
            raise ArgumentError(
                f"the run was saved {which} settings, so it can't be told whether it "
                "is this one; start it anew, without resume"
            )
        differences = _differences(saved, self.settings)
        raise ArgumentError(
            f"the run was saved with other settings: {differences}; "
            "give those that were saved, or start anew, without resume"
        )

    def _go_through_epoch(
        self, path: FilePath | None, progress: Progress, interrupt: Interrupt
    ) -> None:
        before = self.n_done
        for batch, is_last in _with_last(self.batches.epoch(self.epoch, self.index)):
            self._step(batch)
            if is_last:
                self.epoch, self.index, self.state = self.epoch + 1, 0, None
            else:
                self.index += 1
            progress.step(self.history.totals[-1], self.history.counts[-1])
            if interrupt.pressed:
                self._stop(path)
            self._end_round_if_due(path)
            if self._is_over():
                return
        if self.n_done == before:
            raise ArgumentError(
                f"there is nothing to train on: epoch {self.epoch} has no batch "
                f"{self.index}"
            )

    def _step(self, batch: Any) -> None:
        options, place = self.options, f"epoch {self.epoch}, batch {self.index}"
        loss = loss_of(self.model, batch, options.carry, self.state)
        total = loss.total.item()
        if not np.isfinite(total):
            raise NonFiniteError(
                f"the loss is {total} in {place}; under minigrad.detect_anomaly() the "
                "first op that goes wrong is named; a lower lr or clip_norm may help"
            )
        mean = options.reduction == "mean"
        self.optimizer.zero_grad()
        clipped = self._clipped()
        clear_grads(clipped, True)  # what isn't optimised counts in the norm, too
        (loss.total / loss.count if mean else loss.total).backward()
        self._clip(clipped, place)
        self.optimizer.step()
        self.state = _detached(loss.state) if options.carry else None
        self.history.totals.append(total)
        self.history.counts.append(loss.count)

    def _clipped(self) -> list[nn.Parameter]:
        """Whose gradients are clipped: every parameter of the model, or none."""
        options = self.options
        if options.clip_value is None and options.clip_norm is None:
            return []
        return list(self.model.parameters())

    def _clip(self, parameters: list[nn.Parameter], place: str) -> None:
        if self.options.clip_value is not None:
            nn.clip_grad_value_(parameters, self.options.clip_value)
        if self.options.clip_norm is not None:
            norm = nn.clip_grad_norm_(parameters, self.options.clip_norm)
            if not np.isfinite(norm.item()):
                raise NonFiniteError(
                    f"the norm of the gradient is {norm.item()} in {place}; "
                    "minigrad.detect_anomaly() names the op that makes it so"
                )

    def _end_round_if_due(self, path: FilePath | None) -> None:
        every = self.options.every
        n_steps = self.n_done - self._round_start()
        over = n_steps >= every if every else self.epoch > self.round_epoch
        if n_steps and (over or self._is_out_of_time()):
            self._end_round()
            if path is not None:
                checkpoint.save(path, self.state_dict())

    def _end_round(self) -> None:
        options, history = self.options, self.history
        train, held_out = history.mean(self._round_start()), None
        if options.held_out is not None:
            held_out = evaluate(self.model, options.held_out, carry=options.carry)
        lr = self.optimizer.param_groups[0]["lr"]
        history.rounds.append(Round(self.n_done, train, held_out, lr))
        self.round_epoch = self.epoch
        if options.patience is not None and history.best is history.rounds[-1]:
            self.best = self.model.state_dict()
        if isinstance(self.schedule, ReduceLROnPlateau):
            self.schedule.step(train if held_out is None else held_out)
        elif self.schedule is not None:
            self.schedule.step()

    def _round_start(self) -> int:
        return self.history.rounds[-1].step if self.history.rounds else 0

    def _is_out_of_time(self) -> bool:
        """Whether there were as many steps or epochs as there should be."""
        epochs, steps = self.options.epochs, self.options.steps
        enough_steps = steps is not None and self.n_done >= steps
        return enough_steps or (epochs is not None and self.epoch >= epochs)

    def _is_over(self) -> bool:
        best, patience = self.history.best, self.options.patience
        if patience is not None and best is not None:
            worse = len(self.history.rounds) - 1 - self.history.rounds.index(best)
            if worse >= patience:
                self.history.reason = "patience"
                return True
        if self._is_out_of_time():
            self.history.reason = "finished"
            return True
        return False

    def _stop(self, path: FilePath | None) -> None:
        where = ""
        if path is not None:
            checkpoint.save(path, self.state_dict())
            where = f"; {path} has all that is needed to go on"
        raise KeyboardInterrupt(f"stopped after step {self.n_done}{where}")

    def _n_steps(self) -> int | None:
        """How many steps there will be at most, as far as is known."""
        epochs, steps = self.options.epochs, self.options.steps
        length = getattr(self.batches, "__len__", None)
        if epochs is not None and length is not None:
            n = epochs * length()
            return n if steps is None else min(n, steps)
        return steps


def history_of(saved: Mapping[str, Any]) -> History:
    """The history in the state dict of a run."""
    rounds = [Round(*entries) for entries in saved["rounds"]]
    totals, counts = saved["totals"].tolist(), saved["counts"].tolist()
    if len(totals) != len(counts) or not all(count > 0 for count in counts):
        raise ValueError("each step must have a loss and at least one target")
    ends = [0, *(operator.index(round.step) for round in rounds)]
    if ends != sorted(set(ends)) or ends[-1] > len(totals):
        raise ValueError(f"rounds must end at steps that were made, not at {ends[1:]}")
    return History(totals, counts, rounds)


def generators(model: nn.Module) -> list[np.random.Generator]:
    """The library's generator, and those that the modules hold as attributes."""
    found = [rng.generator()]
    for module in model.modules():
        found += [v for v in vars(module).values() if isinstance(v, type(found[0]))]
    return found


def _as_saved(settings: Mapping[str, Any]) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(json.dumps(dict(settings)))
    except (TypeError, ValueError) as error:
        raise ArgumentError(
            f"settings must be a mapping that JSON can hold: {error}"
        ) from error
    return found


class _Nothing:
    """Stands where a setting isn't given: None may be one that is."""

    def __repr__(self) -> str:
        return "nothing"


NOTHING = _Nothing()


def _differences(saved: dict[str, Any], given: dict[str, Any]) -> str:
    """What differs of settings; of lists only the first entry that does."""
    found = []
    for name in {**saved, **given}:
        was, now = saved.get(name, NOTHING), given.get(name, NOTHING)
        if was == now:
            continue
        if isinstance(was, list) and isinstance(now, list):
            pairs = enumerate(zip_longest(was, now, fillvalue=NOTHING))
            place, (was, now) = next((i, p) for i, p in pairs if p[0] != p[1])
            name = f"{name}[{place}]"
        found.append(f"{name} was {was!r}, and is {now!r} now")
    return "; ".join(found)


def _with_last(items: Iterable[Any]) -> Iterator[tuple[Any, bool]]:
    """Each item, and whether it is the last."""
    nothing = object()
    iterator = iter(items)
    item = next(iterator, nothing)
    while item is not nothing:
        following = next(iterator, nothing)
        yield item, following is nothing
        item = following


def _detached(state: Any) -> Any:
    if isinstance(state, tuple | list):
        return tuple(map(_detached, state))
    return state.detach() if isinstance(state, Tensor) else state


def _as_tuples(state: Any) -> Any:
    return tuple(map(_as_tuples, state)) if isinstance(state, list) else state
