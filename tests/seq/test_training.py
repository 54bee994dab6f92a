"""The training loop: what it does, and what it refuses."""

import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from conformance.policy import FLOAT64_RTOL, relative_error
from minigrad import nn, optim
from minigrad.errors import (
    ArgumentError,
    MissingExtraError,
    NonFiniteError,
)
from seq.training import Loss, checkpoint, evaluate, fit
from seq.training.history import History, Round
from seq.training.loss import evaluating

from .trained import Data, Model, N, press, train, weights


def test_ctrl_c_waits_for_the_step_and_then_is_as_before() -> None:
    before = signal.getsignal(signal.SIGINT)

    def pressed_twice() -> None:
        press()
        press()

    with pytest.raises(KeyboardInterrupt) as caught:
        train(Data((1, 0), pressed_twice))
    assert "stopped after" not in str(caught.value)
    # The batch after the one that is trained on has been asked for already.
    with pytest.raises(KeyboardInterrupt, match=r"^stopped after step 5$"):
        train(Data((0, 5), press))
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_at_the_end_of_the_last_round_is_not_lost() -> None:
    class Pressed(Model):
        def loss(self, batch: Any, state: Any = None) -> Loss:
            if not self.training:
                press()
            return super().loss(batch, state)

    model = Pressed()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    batches = Data().batches
    with pytest.raises(KeyboardInterrupt, match=f"^stopped after step {N}$"):
        fit(model, batches, optimizer, epochs=1, held_out=batches[:1], progress=False)


@pytest.mark.parametrize("error", [KeyboardInterrupt, NonFiniteError])
def test_the_weights_are_the_best_ones_however_a_run_ends(error: Any) -> None:
    best, _ = train(Data(), epochs=1)
    batches = Data().batches

    class Ends(Data):
        def epoch(self, number: int, start: int = 0) -> Iterator[Any]:
            for i, (x, y) in enumerate(super().epoch(number, start)):
                if (number, i) == (1, 4) and error is KeyboardInterrupt:
                    press()
                yield x, y * np.nan if (number, i) == (1, 4) else y

    losses = iter([1.0, 2.0])

    class Scripted(Model):
        def loss(self, batch: Any, state: Any = None) -> Loss:
            if self.training:
                return super().loss(batch, state)
            return Loss(mg.tensor(next(losses)), 1)

    mg.manual_seed(3)
    model = Scripted()
    optimizer = optim.Adam(model.parameters(), lr=0.05)
    with pytest.raises(error):
        fit(
            model,
            Ends(),
            optimizer,
            epochs=3,
            carry=True,
            held_out=batches[:1],
            clip_norm=1.0,
            patience=9,
            progress=False,
        )
    assert weights(model) == weights(best)


def test_it_trains_off_the_main_thread() -> None:
    found: list[History] = []
    thread = threading.Thread(target=lambda: found.append(train(Data())[1]))
    thread.start()
    thread.join()
    assert len(found[0].totals) == 3 * N


def test_one_step_by_hand() -> None:
    batch = Data().batches[0]
    by_hand, model = Model(), Model()
    loss = by_hand.eval().loss(batch)
    (loss.total / loss.count).backward()
    nn.clip_grad_value_(by_hand.parameters(), 0.01)
    optim.SGD(by_hand.parameters(), lr=0.1).step()
    model.eval()
    model.train = lambda mode=True: model  # type: ignore[method-assign]
    history = fit(
        model,
        [batch],
        optim.SGD(model.parameters(), lr=0.1),
        epochs=1,
        clip_value=0.01,
        progress=False,
    )
    assert weights(model) == weights(by_hand)
    assert history.losses == [loss.total.item() / 10]
    assert history.counts == [10]


def test_the_sum_is_the_mean_with_another_rate() -> None:
    """Of 10 targets, the gradient of the sum is 10 times that of the mean."""
    batches = [[part.double() for part in batch] for batch in Data().batches]
    found = []
    for reduction, lr in (("mean", 0.5), ("sum", 0.05)):
        mg.manual_seed(0)
        model = Model().double()
        optimizer = optim.SGD(model.parameters(), lr=lr)
        fit(model, batches, optimizer, steps=3, reduction=reduction, progress=False)
        found.append(model.state_dict())
    for name, value in found[0].items():
        assert relative_error(found[1][name], value) <= FLOAT64_RTOL


def test_what_is_clipped_is_the_gradient_of_one_batch() -> None:
    """That of a parameter which isn't optimised is not summed over the batches."""
    by_hand, model = Model().eval(), Model().eval()
    model.train = lambda mode=True: model  # type: ignore[method-assign]
    batches = Data().batches
    step = optim.SGD(by_hand.head.parameters(), lr=0.1)
    for batch in batches:
        by_hand.zero_grad()
        loss = by_hand.loss(batch)
        (loss.total / loss.count).backward()
        nn.clip_grad_norm_(by_hand.parameters(), 0.01)
        step.step()
    optimizer = optim.SGD(model.head.parameters(), lr=0.1)
    fit(model, batches, optimizer, epochs=1, clip_norm=0.01, progress=False)
    assert weights(model) == weights(by_hand)


def test_the_state_is_carried_within_an_epoch_and_cut_from_the_graph() -> None:
    seen: list[Any] = []

    class Watched(Model):
        def loss(self, batch: Any, state: Any = None) -> Loss:
            seen.append(state)
            return super().loss(batch, state)

    model = Watched()
    batches, optimizer = Data().batches, optim.SGD(model.parameters(), lr=0.1)
    fit(model, batches, optimizer, epochs=2, carry=True, progress=False)
    assert [state is None for state in seen] == ([True] + [False] * (N - 1)) * 2
    assert not any(part.requires_grad for state in seen if state for part in state)


def test_rounds_are_epochs_or_steps() -> None:
    assert [r.step for r in train(Data())[1].rounds] == [N, 2 * N, 3 * N]
    assert [r.step for r in train(Data(), every=7)[1].rounds] == [7, 14, 18]
    history = train(Data(), epochs=None, steps=8)[1]
    assert [r.step for r in history.rounds] == [6, 8]
    assert len(history.totals) == 8
    first = history.rounds[0]
    assert first.train == sum(history.totals[:6]) / sum(history.counts[:6])
    assert [r.lr for r in train(Data(), every=6)[1].rounds] == [0.05, 0.05, 0.025]


def test_it_stops_when_it_no_longer_helps() -> None:
    losses = iter([5.0, 3.0, 4.0, 3.5, 2.0, 1.0])
    weights_then = []

    class Scripted(Model):
        def loss(self, batch: Any, state: Any = None) -> Loss:
            if self.training:
                return super().loss(batch, state)
            weights_then.append(weights(self))
            return Loss(mg.tensor(next(losses)), 1)

    model = Scripted()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    history = fit(
        model,
        Data(),
        optimizer,
        epochs=9,
        held_out=Data().batches[:1],
        schedule=optim.lr_scheduler.ReduceLROnPlateau(optimizer, "min", 0.5, 0),
        patience=2,
        progress=False,
    )
    assert [r.held_out for r in history.rounds] == [5.0, 3.0, 4.0, 3.5]
    assert [r.lr for r in history.rounds] == [0.1, 0.1, 0.1, 0.05]
    assert history.reason == "patience"
    assert history.best is history.rounds[1]
    assert weights(model) == weights_then[1]


def test_evaluate_is_the_mean_over_targets_and_changes_nothing() -> None:
    model = Model()
    batches = [*Data().batches, (mg.zeros(1, 1, 3), mg.ones(1, 1))]
    before = weights(model)
    found = evaluate(model, batches)
    losses = [model.eval().loss(batch) for batch in batches]
    expected = sum(x.total.item() for x in losses) / sum(x.count for x in losses)
    assert found == expected
    assert evaluate(model, batches) == expected and not model.training
    assert evaluate(model.train(), batches) == expected
    assert model.training and weights(model) == before
    assert all(p.grad is None for p in model.parameters())
    assert evaluate(model, batches[:-1], carry=True) != evaluate(model, batches[:-1])


def test_evaluate_leaves_each_module_in_the_mode_that_it_had() -> None:
    """A part whose dropout is off for good, as that of a frozen encoder, stays so."""
    model = Model()
    for whole, part in ((True, False), (False, True)):
        model.train(whole)
        model.lstm.train(part)
        evaluate(model, Data().batches)
        assert (model.training, model.lstm.training) == (whole, part)
        assert model.head.training is whole


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_what_is_no_number_is_not_learned(where: str) -> None:
    class Broken(Model):
        def loss(self, batch: Any, state: Any = None) -> Loss:
            found = super().loss(batch, state)
            if where == "loss":
                return Loss(found.total * mg.tensor(np.inf), found.count)
            # Its value is finite, its slope at 0 is not.
            return Loss(found.total + (self.head.bias * 0).sqrt().sum(), found.count)

    model = Broken()
    before = weights(model)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    with (
        np.errstate(all="ignore"),
        pytest.raises(NonFiniteError, match="epoch 0, batch 0"),
    ):
        fit(model, Data(), optimizer, epochs=1, clip_norm=1.0, progress=False)
    assert weights(model) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": None}, "how long to train"),
        ({"epochs": 0}, "epochs"),
        ({"steps": True}, "steps"),
        ({"every": 0}, "every"),
        ({"reduction": "none"}, "reduction"),
        ({"patience": 1, "held_out": None}, "held_out"),
        ({"resume": True}, "resume needs checkpoint"),
        ({"held_out": []}, "nothing to evaluate"),
        ({"held_out": iter([])}, "batches must be a list"),
    ],
)
def test_bad_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        train(Data(), **options)


def test_bad_data_and_bad_models() -> None:
    with pytest.raises(ArgumentError, match="nothing to train on"):
        train([])
    with pytest.raises(ArgumentError, match="batches must be a list"):
        train(iter([]))
    model = nn.Linear(1, 1)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ArgumentError, match="method loss"):
        fit(model, [1], optimizer, epochs=1)
    for result, message in ((mg.ones(1), "Loss"), (Loss(mg.ones(1), 0), "targets")):
        model.loss = lambda batch, result=result: result  # type: ignore[assignment]
        with pytest.raises(ArgumentError, match=message):
            fit(model, [1], optimizer, epochs=1, progress=False)


def test_the_bar_tells_loss_and_speed(capsys: pytest.CaptureFixture[str]) -> None:
    train(Data(), progress=True)
    shown = capsys.readouterr().err
    assert re.search(r"18/18 .*loss \d\.\d{4}, [\d,]+ targets/s", shown)
    train(Data(), progress=True, steps=4)
    assert "4/4 " in capsys.readouterr().err
    train(Data(), progress=False)
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("package", "extra"),
    [
        ("tqdm", "progress"),
        ("matplotlib.figure", "pictures"),
        ("safetensors", "weights"),
    ],
)
def test_what_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, extra: str
) -> None:
    for name in (package, "safetensors.numpy"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(MissingExtraError, match=rf"minigrad\[{extra}\]"):
        _, history = train(Data(), progress=extra == "progress" or None)
        if extra == "pictures":
            history.draw(tmp_path / "loss.png")
        checkpoint.save(tmp_path / "run", {})


def test_the_picture_of_a_run(tmp_path: Path) -> None:
    history = History([3.0, 2.0], [1, 2], [Round(2, 1.7, None, 0.1)])
    history.draw(tmp_path / "loss.png", beside={"level": [2.5], "other": [3.0, 1.0]})
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ArgumentError, match="must end in"):
        history.draw(tmp_path / "loss.txt")


def test_the_best_round_is_a_number() -> None:
    losses = [float("nan"), 2.0, 1.0, 1.0]
    rounds = [Round(i, 0.0, loss, 0.1) for i, loss in enumerate(losses)]
    assert History(rounds=rounds).best is rounds[2]
    assert History(rounds=[Round(1, 0.0, None, 0.1)]).best is None


def test_the_best_round_is_found_after_rounds_without_held_out_data() -> None:
    losses = (None, 3.0, None, 1.0, 2.0)
    rounds = [Round(i, 0.0, loss, 0.1) for i, loss in enumerate(losses)]
    assert History(rounds=rounds).best is rounds[3]


def test_two_threads_evaluate_one_model_and_it_goes_on_training() -> None:
    model = nn.Sequential(nn.Dropout(), nn.Dropout().eval())
    began, ended = threading.Event(), threading.Event()
    modes = []

    def other() -> None:
        with evaluating(model):
            began.set()
            ended.wait(10)
            modes.append([m.training for m in model.modules()])

    thread = threading.Thread(target=other)
    with evaluating(model):
        thread.start()
        began.wait(10)
    ended.set()
    thread.join()
    assert modes == [[False, False, False]]
    assert [m.training for m in model.modules()] == [True, True, False]


def test_an_evaluation_within_another_leaves_the_mode_to_it() -> None:
    model = nn.Sequential(nn.Dropout(), nn.Dropout().eval())
    with evaluating(model):
        with pytest.raises(ZeroDivisionError), evaluating(model[0]):
            raise ZeroDivisionError
        assert not model[0].training
    assert [m.training for m in model.modules()] == [True, True, False]
