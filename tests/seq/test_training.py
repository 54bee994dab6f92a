"""The training loop: what it does, and that an interruption leaves no trace."""

import json
import os
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import seq
from conformance.policy import FLOAT64_RTOL, relative_error
from minigrad import nn, optim
from minigrad.errors import (
    ArgumentError,
    MissingExtraError,
    NonFiniteError,
    StateDictError,
)
from minigrad.optim.lr_scheduler import ReduceLROnPlateau, StepLR
from seq.errors import FileFormatError
from seq.files import read_arrays, write_arrays
from seq.training import Loss, checkpoint, evaluate, fit
from seq.training.history import History, Round

N = 6  # batches of an epoch


class Model(nn.Module):
    """Two layers with dropout, and noise from the library's own generator."""

    def __init__(self) -> None:
        self.lstm = seq.LSTM(3, 4, 2, dropout=0.3, generator=0)
        self.head = nn.Linear(4, 1, generator=1)

    def loss(self, batch: Any, state: Any = None) -> Loss:
        x, y = batch
        output, state = self.lstm(x, state)
        if self.training:
            output = mg.dropout(output, 0.1)
        error = self.head(output)[..., 0] - y
        return Loss((error * error).sum(), y.numpy().size, state)


class Data:
    """Batches in an order of each epoch's own; something may happen at one of them."""

    def __init__(self, at: tuple[int, int] | None = None, happens: Any = None) -> None:
        rng = np.random.default_rng(0)
        self.batches = [
            (
                mg.tensor(rng.normal(size=(5, 2, 3)), mg.float32),
                mg.randn(5, 2, generator=i),
            )
            for i in range(N)
        ]
        self.at, self.happens = at, happens

    def __len__(self) -> int:
        return N

    def epoch(self, number: int, start: int = 0) -> Iterator[Any]:
        order = np.random.default_rng(number).permutation(N)
        for i in range(start, N):
            if (number, i) == self.at:
                self.happens()
            yield self.batches[order[i]]


SCHEDULES = {
    "none": lambda optimizer: None,
    "steps": lambda optimizer: StepLR(optimizer, 2, 0.5),
    "plateau": lambda optimizer: ReduceLROnPlateau(optimizer, patience=0),
}
OPTIMIZERS = {"sgd": optim.SGD, "adam": optim.Adam, "rmsprop": optim.RMSprop}


def train(
    data: Any, optimizer: str = "adam", schedule: str = "steps", **options: Any
) -> tuple[Model, History]:
    mg.manual_seed(3)
    model = Model()
    steps = OPTIMIZERS[optimizer](model.parameters(), lr=0.05)
    settings: dict[str, Any] = {
        "epochs": 3,
        "carry": True,
        "held_out": Data().batches[:2],
        "clip_norm": 1.0,
        "progress": False,
        **options,
    }
    history = fit(model, data, steps, schedule=SCHEDULES[schedule](steps), **settings)
    return model, history


def weights(model: nn.Module) -> dict[str, bytes]:
    return {name: p.numpy().tobytes() for name, p in model.state_dict().items()}


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("at", [(0, 0), (0, 5), (1, 0), (1, 3), (2, 5)])
@pytest.mark.parametrize("every", [None, 4])
def test_an_interrupted_run_goes_on_to_the_same_bits(
    tmp_path: Path, at: tuple[int, int], every: int | None
) -> None:
    path = tmp_path / "run.safetensors"
    model, history = train(Data(), every=every, patience=9)
    with pytest.raises(KeyboardInterrupt, match=re.escape(str(path))):
        train(Data(at, press), every=every, patience=9, checkpoint=path)
    mg.manual_seed(99)
    again, resumed = train(
        Data(), every=every, patience=9, checkpoint=path, resume=True
    )
    assert resumed == history
    assert weights(again) == weights(model)


def test_a_parameter_and_a_state_without_dimensions_go_on(tmp_path: Path) -> None:
    class Scalar(nn.Module):
        def __init__(self) -> None:
            self.a = nn.Parameter(mg.tensor(0.5))

        def loss(self, batch: Any, state: Any = None) -> Loss:
            assert state is None or state.shape == ()
            error = self.a * batch[0] - 1.0
            return Loss((error * error).sum(), 30, self.a.sum())

    found = []
    for steps, resume in ((10, False), (4, False), (10, True)):
        model = Scalar()
        fit(
            model,
            Data(),
            optim.Adam(model.parameters(), lr=0.1),
            steps=steps,  # 4: within an epoch, so that there is a state
            carry=True,
            checkpoint=tmp_path / "run.safetensors",
            resume=resume,
            progress=False,
        )
        found.append(weights(model))
    assert found[0] == found[2] != found[1]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("carry", [True, False])
def test_whatever_trains_goes_on(
    tmp_path: Path, optimizer: str, schedule: str, carry: bool
) -> None:
    path = tmp_path / "run.safetensors"
    how: dict[str, Any] = {"optimizer": optimizer, "schedule": schedule, "carry": carry}
    model, history = train(Data(), **how)
    with pytest.raises(KeyboardInterrupt):
        train(Data((1, 2), press), checkpoint=path, **how)
    again, resumed = train(Data(), checkpoint=path, resume=True, **how)
    assert resumed == history
    assert weights(again) == weights(model)


def test_a_crash_goes_on_from_the_last_round(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"

    def crash() -> None:
        raise RuntimeError("no more power")

    model, history = train(Data())
    with pytest.raises(RuntimeError, match="power"):
        train(Data((2, 3), crash), checkpoint=path)
    again, resumed = train(Data(), checkpoint=path, resume=True)
    assert resumed == history and weights(again) == weights(model)


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
    history = fit(
        model,
        Data(),
        optim.SGD(model.parameters(), lr=0.1),
        epochs=9,
        held_out=Data().batches[:1],
        patience=2,
        progress=False,
    )
    assert [r.held_out for r in history.rounds] == [5.0, 3.0, 4.0, 3.5]
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
    assert evaluate(model.train(), batches) == expected
    assert model.training and weights(model) == before
    assert all(p.grad is None for p in model.parameters())
    assert evaluate(model, batches[:-1], carry=True) != evaluate(model, batches[:-1])


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


def test_a_checkpoint_of_another_run(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    train(Data(), checkpoint=path)
    with pytest.raises(StateDictError, match="a schedule was saved"):
        train(Data(), schedule="none", checkpoint=path, resume=True)
    with pytest.raises(StateDictError):
        train(Data(), optimizer="sgd", checkpoint=path, resume=True)
    with pytest.raises(FileNotFoundError, match="none"):
        train(Data(), checkpoint=tmp_path / "none", resume=True)
    other = nn.Linear(2, 2)
    other.loss = None  # type: ignore[assignment]
    with pytest.raises(StateDictError):
        fit(
            other,
            Data(),
            optim.Adam(other.parameters()),
            epochs=1,
            checkpoint=path,
            resume=True,
            progress=False,
        )
    with pytest.raises(ArgumentError, match="epoch 1 has no batch 3"):
        with pytest.raises(KeyboardInterrupt):
            train(Data((1, 3), press), checkpoint=path)
        train(Data().batches[:2], checkpoint=path, resume=True)
    data = path.read_bytes()
    for broken in (b"", data[:100], data[:-9], b"{}" * 50):
        path.write_bytes(broken)
        with pytest.raises(FileFormatError, match=r"run\.safetensors"):
            train(Data(), checkpoint=path, resume=True)


@pytest.mark.parametrize(
    "changed",
    [
        [1],
        None,
        {"rounds": [[1, 2]]},
        {"rounds": 3},
        {"place": [0]},
        {"place": ["a", 0, 0]},
        {"totals": "many"},
        {"totals": {"$array": "none"}},
        {"generators": [{"bit_generator": "PCG64"}] * 2},
        {"optimizer": {"state": 3}},
    ],
)
def test_a_checkpoint_with_wrong_contents(tmp_path: Path, changed: Any) -> None:
    path = tmp_path / "run.safetensors"
    train(Data(), epochs=1, checkpoint=path)
    arrays, metadata = read_arrays(path)
    saved = json.loads(metadata[checkpoint.KEY])
    changed = {**saved, **changed} if isinstance(changed, dict) else changed
    write_arrays(path, arrays, {checkpoint.KEY: json.dumps(changed)})
    with pytest.raises(FileFormatError, match=r"run\.safetensors is no whole check"):
        train(Data(), checkpoint=path, resume=True)


def test_a_run_with_other_settings_is_not_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    saved = {"seed": 0, "tokens": ("a", "b")}
    train(Data(), epochs=1, checkpoint=path, settings=saved)
    train(Data(), epochs=2, checkpoint=path, resume=True, settings=saved)
    for settings, message in (
        ({**saved, "seed": 1}, r"run\.safetensors: .* seed was 0, and is 1 now; give"),
        ({"seed": 0, "tokens": "acb"}, "tokens was .'a', 'b'., and is 'acb' now"),
        ({"seed": 0, "tokens": [*"acb"]}, r"s: tokens\[1\] was 'b', and is 'c' now"),
        ({"seed": 0, "tokens": [*"abc"]}, r"tokens\[2\] was None, and is 'c' now"),
        (None, "saved with settings"),
        ({"seed": {1}}, "settings must be .* JSON"),
    ):
        with pytest.raises(ArgumentError, match=message):
            train(Data(), checkpoint=path, resume=True, settings=settings)
    train(Data(), epochs=1, checkpoint=path)
    with pytest.raises(ArgumentError, match="saved without settings"):
        train(Data(), checkpoint=path, resume=True, settings=saved)


def test_a_checkpoint_is_written_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.safetensors"
    train(Data(), epochs=1, checkpoint=path)
    before = path.read_bytes()

    def full(*arguments: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space left"):
        train(Data(), checkpoint=path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_any_state_is_saved(tmp_path: Path) -> None:
    path = tmp_path / "tree.safetensors"
    generator = np.random.Generator(np.random.MT19937(0))
    tree = {
        "tensor": mg.randn(2, 3, generator=0).T,
        "scalar": mg.tensor(2.5),
        "scalars": [np.array(3)],
        "list": [1, None, 0.1, float("inf"), {"deep": np.arange(3)}],
        "state": generator.bit_generator.state,
        "big": np.random.default_rng(0).bit_generator.state,
    }
    checkpoint.save(path, tree)
    found = checkpoint.load(path)
    assert found["big"] == tree["big"]
    assert found["list"][:4] == tree["list"][:4]
    assert found["list"][4]["deep"].tolist() == [0, 1, 2]
    assert found["tensor"].tolist() == tree["tensor"].tolist()
    assert found["scalar"].tolist() == 2.5 and found["scalars"][0].shape == ()
    other = np.random.Generator(np.random.MT19937(1))
    other.bit_generator.state = found["state"]
    assert other.random() == generator.random()


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
