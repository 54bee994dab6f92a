"""The shapes of sequence models: beside torch, and their laws."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import minigrad as mg
import seq
from conformance.policy import FLOAT64_RTOL, float32_limit, relative_error
from minigrad import nn
from minigrad.errors import ArgumentError, ShapeError
from seq.models.shapes import BinaryTagger, Classifier, OneToOne, StepModel, Tagger
from seq.text.padding import IGNORE, Batch, padded_batches
from seq.training import Loss

T, B, SYMBOLS, CLASSES, SIZE, HIDDEN = 6, 4, 7, 3, 4, 5
LENGTHS = np.array([6, 2, 4, 1])
both_ways = pytest.mark.parametrize("bidirectional", [False, True])


def tokens(seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(SYMBOLS, size=(T, B))


def recurrent(kind: str = "LSTM", size: int = SIZE, **options: Any) -> seq.Recurrent:
    layer: seq.Recurrent = getattr(seq, kind)(
        size, HIDDEN, dtype=mg.float64, generator=1, **options
    )
    return layer


def make(shape: type[StepModel], kind: str, bidirectional: bool, **options: Any) -> Any:
    embedding = nn.Embedding(SYMBOLS, SIZE, dtype=mg.float64, generator=2)
    layer = recurrent(kind, num_layers=2, bidirectional=bidirectional)
    return shape(layer, CLASSES, inputs=embedding, hidden=(6,), generator=3, **options)


class Twin(torch.nn.Module):
    """The same in torch's modules, under the same names."""

    def __init__(self, kind: str, bidirectional: bool) -> None:
        super().__init__()
        self.inputs = torch.nn.Embedding(SYMBOLS, SIZE)
        make_layer = getattr(torch.nn, kind)
        self.layer = make_layer(SIZE, HIDDEN, 2, bidirectional=bidirectional)
        width = HIDDEN * (1 + bidirectional)
        self.head = torch.nn.Sequential(
            torch.nn.Linear(width, 6), torch.nn.Tanh(), torch.nn.Linear(6, CLASSES)
        )
        self.double()

    def steps(self, x: Any, lengths: Any) -> tuple[Any, Any]:
        packed = pack_padded_sequence(
            self.inputs(torch.tensor(x)), torch.tensor(lengths), enforce_sorted=False
        )
        output, state = self.layer(packed)
        h_n = state[0] if isinstance(state, tuple) else state
        return pad_packed_sequence(output, total_length=T)[0], h_n


def assert_same(model: Any, loss: Loss, twin: Any, expected: Any) -> None:
    """The loss, and the gradient of every parameter."""
    assert relative_error(loss.total.item(), expected.item()) <= FLOAT64_RTOL
    loss.total.backward()
    expected.backward()
    theirs = dict(twin.named_parameters())
    names = [name for name, _ in model.named_parameters()]
    assert sorted(names) == sorted(theirs)
    for name, parameter in model.named_parameters():
        assert relative_error(parameter.grad, theirs[name].grad) <= FLOAT64_RTOL, name


@both_ways
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("pool", ["last", "mean", "max"])
def test_many_to_one_is_torchs(kind: str, bidirectional: bool, pool: str) -> None:
    model = make(Classifier, kind, bidirectional, pool=pool)
    twin = Twin(kind, bidirectional)
    twin.load_state_dict({k: torch.tensor(v.numpy()) for k, v in _state(model)})
    labels = np.array([0, 2, 1, 2])
    output, h_n = twin.steps(tokens(), LENGTHS)
    live = torch.arange(T)[:, None, None] < torch.tensor(LENGTHS)[:, None]
    read = {
        "last": torch.cat(list(h_n[-1 - bidirectional :]), -1),
        "mean": output.sum(0) / torch.tensor(LENGTHS)[:, None],
        "max": output.masked_fill(~live, -np.inf).amax(0),
    }[pool]
    expected = F.cross_entropy(twin.head(read), torch.tensor(labels), reduction="sum")
    loss = model.loss(Batch(tokens(), LENGTHS, labels))
    assert loss.count == B
    assert_same(model, loss, twin, expected)


def _state(model: nn.Module) -> Any:
    return model.state_dict().items()


@both_ways
@pytest.mark.parametrize("weight", [None, [0.5, 2.0, 3.0]])
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_many_to_many_is_torchs(
    kind: str, weight: list[float] | None, bidirectional: bool
) -> None:
    model = make(Tagger, kind, bidirectional, weight=weight)
    twin = Twin(kind, bidirectional)
    twin.load_state_dict({k: torch.tensor(v.numpy()) for k, v in _state(model)})
    labels = np.where(np.arange(T)[:, None] < LENGTHS, tokens(1) % CLASSES, IGNORE)
    scores = twin.head(twin.steps(tokens(), LENGTHS)[0])
    expected = F.cross_entropy(
        scores.permute(0, 2, 1),
        torch.tensor(labels),
        None if weight is None else torch.tensor(weight).double(),
        reduction="sum",
    )
    loss = model.loss(Batch(tokens(), LENGTHS, labels))
    assert loss.count == LENGTHS.sum()
    assert_same(model, loss, twin, expected)


def test_a_weight_is_cast_with_its_model() -> None:
    labels = np.where(np.arange(T)[:, None] < LENGTHS, tokens(1) % CLASSES, IGNORE)
    found = []
    for dtype in (mg.float64, mg.float32):
        model = make(Tagger, "GRU", False, weight=[0.5, 2.0, 3.0]).to(dtype)
        assert "weight" not in model.state_dict()
        found.append(model.loss(Batch(tokens(), LENGTHS, labels)).total.detach())
    assert [loss.dtype for loss in found] == [mg.float64, mg.float32]
    assert relative_error(found[1], found[0]) <= float32_limit(0.0)


@both_ways
@pytest.mark.parametrize("weight", [None, [0.5, 2.0, 3.0]])
def test_yes_or_no_outputs_are_torchs(
    bidirectional: bool, weight: list[float] | None
) -> None:
    model = make(BinaryTagger, "GRU", bidirectional, weight=weight)
    twin = Twin("GRU", bidirectional)
    twin.load_state_dict({k: torch.tensor(v.numpy()) for k, v in _state(model)})
    y = np.random.default_rng(2).integers(2, size=(T, B, CLASSES))
    scores = twin.head(twin.steps(tokens(), LENGTHS)[0])
    losses = F.binary_cross_entropy_with_logits(
        scores,
        torch.tensor(y).double(),
        None if weight is None else torch.tensor(weight).double(),
        reduction="none",
    )
    live = torch.arange(T)[:, None, None] < torch.tensor(LENGTHS)[:, None]
    loss = model.loss(Batch(tokens(), LENGTHS, y))
    assert loss.count == LENGTHS.sum()
    assert_same(model, loss, twin, (losses * live).sum())


def test_one_to_one_is_torchs() -> None:
    model = OneToOne(SIZE, CLASSES, (6,), dtype=mg.float64, generator=0)
    twin = torch.nn.Module()
    twin.head = torch.nn.Sequential(
        torch.nn.Linear(SIZE, 6), torch.nn.Tanh(), torch.nn.Linear(6, CLASSES)
    ).double()
    twin.load_state_dict({k: torch.tensor(v.numpy()) for k, v in _state(model)})
    x, y = np.random.default_rng(0).normal(size=(B, SIZE)), np.array([0, 2, 1, 1])
    expected = F.cross_entropy(
        twin.head(torch.tensor(x)), torch.tensor(y), reduction="sum"
    )
    loss = model.loss(Batch(x, np.ones(B, np.int64), y))
    assert_same(model, loss, twin, expected)


@pytest.mark.parametrize("pool", ["last", "mean", "max"])
@both_ways
def test_padding_and_an_empty_example(pool: str, bidirectional: bool) -> None:
    model = make(Classifier, "GRU", bidirectional, pool=pool)
    x, lengths = tokens(), np.array([3, 0, 2, 3])
    scores = model(x, lengths).detach().numpy()
    x[3:] = 0
    x[2, 2] = 1
    assert np.array_equal(scores, model(x, lengths).detach().numpy())
    alone = model(x[:2, 2:3]).detach().numpy()
    assert relative_error(scores[2:3], alone) <= FLOAT64_RTOL
    nothing = model.head(mg.zeros(1, HIDDEN * (1 + bidirectional), dtype=mg.float64))
    assert relative_error(scores[1:2], nothing.detach()) <= FLOAT64_RTOL


def test_a_tagger_in_one_direction_does_not_see_ahead() -> None:
    x = tokens()
    changed = x.copy()
    changed[3:] = (changed[3:] + 1) % SYMBOLS
    one, two = make(Tagger, "GRU", False), make(Tagger, "GRU", True)
    assert np.array_equal(
        one(x).detach().numpy()[:3], one(changed).detach().numpy()[:3]
    )
    assert not np.any(two(x).detach().numpy()[:3] == two(changed).detach().numpy()[:3])


def test_frames_need_no_embedding_and_dropout_is_off_in_eval() -> None:
    model = Classifier(recurrent("GRU"), CLASSES, dropout=0.5)
    x = np.random.default_rng(0).normal(size=(T, B, SIZE))
    assert not np.array_equal(model(x).detach().numpy(), model(x).detach().numpy())
    model.eval()
    assert np.array_equal(model(x).detach().numpy(), model(x).detach().numpy())


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ArgumentError, match="pool must be one of"):
        Classifier(recurrent(), CLASSES, pool="first")
    with pytest.raises(ArgumentError, match="time first"):
        Tagger(recurrent(batch_first=True), CLASSES)
    with pytest.raises(ArgumentError, match="layer must be a Recurrent"):
        Tagger(nn.Linear(2, 3), CLASSES)  # type: ignore[arg-type]


def test_batches_are_padded_and_of_like_lengths() -> None:
    x = [np.full((n, 2), n, np.float32) for n in (3, 1, 3, 0, 3)]
    labels = [np.full(n + 1, n) for n in (3, 1, 3, 0, 3)]
    small = [array.astype(np.uint8) for array in labels]
    for targets, padding in (labels, IGNORE), (small, IGNORE), (x, 0):
        found = list(padded_batches(x, targets, 2, seed=1).epoch(0))
        assert sorted(len(batch.lengths) for batch in found) == [1, 2, 2]
        for batch in found:
            assert batch.x.shape[0] == batch.lengths.max()
            assert np.ptp(batch.lengths) <= 1
            for i, n in enumerate(batch.lengths):
                assert np.all(batch.x[:n, i] == n) and not np.any(batch.x[n:, i])
                ends = n + (padding == IGNORE)
                assert np.all(batch.y[:ends, i] == n)
                assert np.all(batch.y[ends:, i] == padding)
    (batch,) = padded_batches(x[:1], np.array([[5.0]]), 2).epoch(3)
    assert batch.y.tolist() == [[5.0]]


def test_an_empty_list_changes_no_dtype() -> None:
    lists: list[list[int]] = [[], [1, 2]]
    (batch,) = padded_batches(lists, lists, 2).epoch(0)
    assert batch.x.dtype == batch.y.dtype == np.int64
    assert batch.x.T.tolist() == [[0, 0], [1, 2]]
    assert batch.y.T.tolist() == [[IGNORE, IGNORE], [1, 2]]


def test_examples_that_do_not_fit_are_named() -> None:
    x = [np.zeros((2, 3)), np.zeros((2, 4))]
    with pytest.raises(ArgumentError, match="2 inputs and 1 targets"):
        padded_batches(x, np.zeros(1), 1)
    with pytest.raises(ArgumentError, match=r"inputs must differ in their first axis"):
        padded_batches(x, np.zeros(2), 1)
    with pytest.raises(ArgumentError, match=r"targets must differ in their first axis"):
        padded_batches(x[:1] * 2, x, 1)
    with pytest.raises(ArgumentError, match="no examples"):
        padded_batches([], np.zeros(0), 1)


def test_labels_in_another_order_than_the_steps_are_refused() -> None:
    model = make(Tagger, "GRU", False)
    lengths = np.full(B, T)
    y = np.random.default_rng(1).integers(CLASSES, size=(T, B))
    assert model.loss(Batch(tokens(), lengths, y)).count == T * B
    with pytest.raises(ShapeError, match=r"labels must have the shape \(6, 4\)"):
        model.loss(Batch(tokens(), lengths, y.T))
    with pytest.raises(ShapeError, match=r"got \(4, 6\)"):  # a row for each example
        model.loss(next(padded_batches(tokens().T, y.T, B).epoch(0)))
