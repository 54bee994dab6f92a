"""An interruption leaves no trace; a run goes on as what it was, or not at all."""

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.errors import ArgumentError, StateDictError
from seq.errors import FileFormatError
from seq.files import read_arrays, write_arrays
from seq.training import Loss, checkpoint, fit

from .trained import OPTIMIZERS, SCHEDULES, Data, press, train, weights

PCG = np.random.PCG64(0).state


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


def test_the_best_weights_are_those_of_the_run_that_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    train(Data(), epochs=1, patience=9, checkpoint=path)
    straight, _ = train(Data(), patience=None)
    again, _ = train(Data(), patience=None, checkpoint=path, resume=True)
    assert weights(again) == weights(straight)  # not those that were best at first
    with pytest.raises(ArgumentError, match="was saved without patience"):
        train(Data(), patience=9, checkpoint=path, resume=True)


def test_a_crash_goes_on_from_the_last_round(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"

    def crash() -> None:
        raise RuntimeError("no more power")

    model, history = train(Data())
    with pytest.raises(RuntimeError, match="power"):
        train(Data((2, 3), crash), checkpoint=path)
    again, resumed = train(Data(), checkpoint=path, resume=True)
    assert resumed == history and weights(again) == weights(model)


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
        {"place": [0, -1, 0]},
        {"rounds": [[None, 1.0, 1.0, 0.1]]},
        {"rounds": [[99, 1.0, 1.0, 0.1]]},
        {"rounds": [[3, 1.0, 1.0, 0.1], [3, 1.0, 1.0, 0.1]]},
        {"totals": "many"},
        {"totals": {"$array": "none"}},
        {"generators": [{"bit_generator": "PCG64"}] * 2},
        {"optimizer": {"state": 3}},
        {"generators": [PCG | {"uinteger": -1}] * 2},
        {"generators": [PCG | {"has_uint32": 10**30}] * 2},
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


def test_a_checkpoint_that_is_too_deep(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    write_arrays(path, {}, {checkpoint.KEY: "[" * 100_000})
    with pytest.raises(FileFormatError, match=r"run\.safetensors is no whole check"):
        checkpoint.load(path)


def test_a_run_with_other_settings_is_not_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    saved = {"seed": 0, "tokens": ("a", "b")}
    train(Data(), epochs=1, checkpoint=path, settings=saved)
    train(Data(), epochs=2, checkpoint=path, resume=True, settings=saved)
    for settings, message in (
        ({**saved, "seed": 1}, r"run\.safetensors: .* seed was 0, and is 1 now; give"),
        ({"seed": 0, "tokens": "acb"}, "tokens was .'a', 'b'., and is 'acb' now"),
        ({"seed": 0, "tokens": [*"acb"]}, r"s: tokens\[1\] was 'b', and is 'c' now"),
        ({"seed": 0, "tokens": [*"abc"]}, r"tokens\[2\] was nothing, and is 'c' now"),
        (None, "saved with settings"),
        ({"seed": {1}}, "settings must be .* JSON"),
    ):
        with pytest.raises(ArgumentError, match=message):
            train(Data(), checkpoint=path, resume=True, settings=settings)
    train(Data(), epochs=1, checkpoint=path, settings={"a": None, "b": [1, None]})
    with pytest.raises(ArgumentError, match="a was None, and is nothing now") as caught:
        train(Data(), checkpoint=path, resume=True, settings={"b": [1]})
    assert "b[1] was None, and is nothing now" in str(caught.value)
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
