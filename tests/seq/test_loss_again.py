"""A language model's loss that is called again: one op, and what its ops say apart."""

import copy
import weakref
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import seq
from conformance.policy import FLOAT64_RTOL, float32_limit, relative_error
from minigrad.errors import IndexRangeError, MinigradError
from seq import again as calls
from seq.cells import mgu
from seq.models.language_model import LanguageModel
from seq.text.batches import TextBatch
from seq.text.vocabulary import Vocabulary

VOCABULARY = Vocabulary("abcdefg")


@pytest.fixture
def once_more(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """How each call of a model's layer went: whether it was made again as one op."""
    found = []
    call_again = calls.call_again

    def counted(*call: Any) -> Any:
        result = call_again(*call)
        found.append(result is not None)
        return result

    monkeypatch.setattr(calls, "call_again", counted)
    return found


def make(
    cell: Any = "lstm", embedding: int | None = None, **options: Any
) -> LanguageModel:
    plain = {"hidden_size": 6, "num_layers": 2, "dtype": mg.float64, "generator": 0}
    arguments = {**plain, **options}
    return LanguageModel(VOCABULARY, cell, embedding_size=embedding, **arguments)


def one_by_one(model: LanguageModel) -> LanguageModel:
    """The same model with a hook that does nothing, so that its ops stay apart."""
    other = copy.deepcopy(model)
    other.register_forward_hook(lambda *_: None)
    return other


def drawn(seed: int, n_steps: int, batch: int, ragged: bool = False) -> TextBatch:
    rng = np.random.default_rng(seed)
    inputs, targets = rng.integers(1, len(VOCABULARY), (2, n_steps, batch))
    if not ragged:
        return TextBatch(mg.tensor(inputs), mg.tensor(targets))
    lengths = rng.integers(1, n_steps + 1, batch)
    live = np.arange(n_steps)[:, None] < lengths
    batches = mg.tensor(inputs * live), mg.tensor(targets * live), mg.tensor(lengths)
    return TextBatch(*batches)


def told(model: LanguageModel, batch: TextBatch, state: Any = None) -> list[Any]:
    """The loss, the state, their gradients, the losses of tokens."""
    loss = model.loss(batch, state)
    states = loss.state if isinstance(loss.state, tuple) else (loss.state,)
    seen = sum((s * s).sum() for s in states) * 0.1
    given = state if isinstance(state, tuple) else (state,) if state is not None else ()
    leaves = [*model.parameters(), *(s for s in given if s.requires_grad)]
    gradients = mg.grad(loss.total / loss.count + seen, leaves)
    losses, _ = model.token_losses(batch, state)
    found = [loss.total, *states, *gradients, losses]
    return [t.detach().numpy() for t in found]


@pytest.mark.parametrize("dtype", [mg.float32, mg.float64])
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("embedding", [None, 4])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm", mgu])
def test_a_loss_that_is_called_again(
    cell: Any, embedding: int | None, ragged: bool, dtype: Any, once_more: list[bool]
) -> None:
    model = make(cell, embedding, dtype=dtype)
    apart = one_by_one(model)
    for call in range(6):
        batch = drawn(call, 3 + call % 4, 1 if call < 3 and not ragged else 5, ragged)
        found, expected = told(model, batch), told(apart, batch)
        # To the bit: a run that is resumed begins with ops apart.
        for a, b in zip(found, expected, strict=True):
            assert np.array_equal(a, b)
    assert any(once_more)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_with_a_state_of_its_own(cell: str, once_more: list[bool]) -> None:
    model = make(cell)
    apart = one_by_one(model)
    for call in range(3):
        batch = drawn(call, 4, 2)
        states = [
            mg.randn(2, 2, 6, dtype=mg.float64, generator=seed).requires_grad_()
            for seed in (call, 9)
        ]
        state = tuple(states) if cell == "lstm" else states[0]
        pairs = zip(told(model, batch, state), told(apart, batch, state), strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs)
    assert once_more[-1]


def head_of_its_own(model: LanguageModel) -> None:
    class Twice(mg.nn.Linear):
        def forward(self, x: Any) -> Any:
            return super().forward(x) * 2

    model.head = Twice(6, len(VOCABULARY) - 1, dtype=mg.float64, generator=1)


def recurrent_of_its_own(model: LanguageModel) -> None:
    other = seq.GRU(4, 6, 2, dtype=mg.float64, generator=5)
    model.recurrent = other


def patched(model: LanguageModel) -> None:
    before = model.head.forward
    model.head.forward = lambda x: before(x) * 3


CHANGES: dict[str, Any] = {
    "another head": head_of_its_own,
    "a layer of another class": recurrent_of_its_own,
    "a patched head": patched,
    "a head's other weight": lambda m: setattr(
        m.head, "weight", mg.nn.Parameter(np.ones(m.head.weight.shape))
    ),
    "assigned": lambda m: m.head.bias.assign(np.arange(9.0)),
    "frozen": lambda m: m.head.bias.requires_grad_(False),
    "another table": lambda m: setattr(
        m.embedding, "weight", mg.nn.Parameter(np.ones(m.embedding.weight.shape))
    ),
    "float32": lambda m: m.to(mg.float32),
    "a layer's other weight": lambda m: setattr(
        m.recurrent, "bias_hh_l1", mg.nn.Parameter(np.ones(18))
    ),
    "a hooked head": lambda m: m.head.register_forward_hook(lambda *call: call[-1] * 2),
    "a hooked layer": lambda m: m.recurrent.register_forward_hook(
        lambda *call: (call[-1][0] * 2, call[-1][1])
    ),
    "a hooked model": lambda m: m.register_forward_hook(
        lambda *call: (call[-1][0] * 2, call[-1][1])
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_changes_between_two_calls_is_seen(change: Any) -> None:
    model, batch = make("gru", 4), drawn(0, 4, 2)
    for _ in range(3):
        before = told(model, batch)
    change(model)
    for _ in range(3):
        leaves = [p for p in model.parameters() if p.requires_grad]
        loss = model.loss(batch)
        found = [loss.total, *mg.grad(loss.total, leaves)]
        scores, _ = model(batch.inputs)
        classes = (batch.targets - 1).reshape(-1)
        expected = mg.cross_entropy(
            scores.reshape(len(classes), -1), classes, reduction="sum"
        )
        limit = FLOAT64_RTOL if scores.dtype == mg.float64 else float32_limit(1e-7)
        wanted = [expected, *mg.grad(expected, leaves)]
        for a, b in zip(found, wanted, strict=True):
            assert relative_error(a.detach().numpy(), b.detach().numpy()) <= limit
    if change not in (CHANGES["frozen"], CHANGES["float32"]):
        assert relative_error(found[0].item(), before[0]) > 1e-6


def test_dropout_and_evaluation_in_turns() -> None:
    model, batch = make("gru", dropout=0.5), drawn(0, 4, 2)
    still = [model.eval().loss(batch).total.item() for _ in range(3)]
    noisy = [model.train().loss(batch).total.item() for _ in range(3)]
    assert len({*still}) == 1 and len({*noisy}) == 3
    assert model.eval().loss(batch).total.item() == still[0]


def test_second_derivatives_of_a_loss_that_is_called_again() -> None:
    model, batch = make("gru"), drawn(0, 4, 2)
    apart = one_by_one(model)
    for _ in range(3):
        seconds = []
        for one in (model, apart):
            leaves = list(one.parameters())
            slopes = mg.grad(one.loss(batch).total, leaves, create_graph=True)
            penalty = sum((g * g).sum() for g in slopes)
            seconds.append(mg.grad(penalty, leaves))
        for a, b in zip(*seconds, strict=True):
            assert relative_error(a.numpy(), b.numpy()) <= FLOAT64_RTOL


def test_numbers_out_of_range_are_refused_again() -> None:
    model = make("gru")
    for _ in range(3):
        model.loss(drawn(0, 4, 2))
    good, high = drawn(0, 4, 2), mg.tensor(np.full((4, 2), len(VOCABULARY)))
    for batch in (TextBatch(high, good.targets), TextBatch(good.inputs, high)):
        with pytest.raises(IndexRangeError, match="out of range"):
            model.loss(batch)
    with pytest.raises(MinigradError):
        model.loss(TextBatch(good.inputs, drawn(0, 3, 2).targets))


def test_a_batch_that_was_learned_from_is_let_go() -> None:
    model = make("gru")
    for _ in range(3):
        batch = drawn(0, 4, 2)
        loss = model.loss(batch)
        kept = [weakref.ref(t) for t in (batch.inputs, batch.targets, loss.total)]
        loss.total.backward()
        del batch, loss
        assert [ref() for ref in kept] == [None] * 3
