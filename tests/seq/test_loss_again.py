"""A language model's loss that is called again: one op, and what its ops say apart."""

import copy
import weakref
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import seq
from conformance.policy import FLOAT64_RTOL, float32_limit, relative_error
from minigrad.errors import DTypeError, IndexRangeError, MinigradError, ShapeError
from seq import again as calls
from seq.cells import mgu
from seq.models import language_model
from seq.models.language_model import LanguageModel
from seq.text.batches import TextBatch
from seq.text.vocabulary import Vocabulary

from .small_model import VOCABULARY, make


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


def one_by_one(model: LanguageModel) -> LanguageModel:
    """The same model with a hook that does nothing, so that its ops stay apart."""
    other = copy.deepcopy(model)
    other.register_forward_hook(lambda *_: None)
    return other


def drawn(
    seed: int,
    n_steps: int,
    batch: int,
    ragged: bool = False,
    tokens: int = len(VOCABULARY),
) -> TextBatch:
    rng = np.random.default_rng(seed)
    inputs, targets = rng.integers(1, tokens, (2, n_steps, batch))
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


@pytest.mark.parametrize("tokens", range(3, 13))
def test_sizes_that_are_those_of_the_stand_ins(tokens: int) -> None:
    vocabulary = Vocabulary("abcdefghi"[: tokens - 3])
    model = LanguageModel(vocabulary, "rnn", 20, dtype=mg.float64, generator=0)
    apart = one_by_one(model)
    for ragged in (False, True):
        for call in range(3):
            batch = drawn(call, 7 + call, 5, ragged, tokens)
            pairs = zip(told(model, batch), told(apart, batch), strict=True)
            assert all(np.array_equal(a, b) for a, b in pairs)


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


def patched_layer(model: LanguageModel) -> None:
    before = model.recurrent.forward
    model.recurrent.forward = lambda *given, **more: before(given[0] * 3, **more)


CHANGES: dict[str, Any] = {
    "another head": head_of_its_own,
    "a head without a bias": lambda m: setattr(
        m,
        "head",
        mg.nn.Linear(6, len(VOCABULARY) - 1, False, dtype=mg.float64, generator=1),
    ),
    "a layer of another class": recurrent_of_its_own,
    "a patched head": patched,
    "a patched layer": patched_layer,
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
    "another embedding": lambda m: setattr(
        m, "embedding", mg.nn.Embedding(10, 4, dtype=mg.float64, generator=5)
    ),
    "a hooked embedding": lambda m: m.embedding.register_forward_hook(
        lambda *call: call[-1] * 2
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


@pytest.mark.parametrize("part", ["dropout", "recurrent"])
def test_what_drops_in_an_evaluation_is_drawn(part: str) -> None:
    model, batch = make("gru", dropout=0.5).eval(), drawn(0, 4, 2)
    still = {model.loss(batch).total.item() for _ in range(3)}
    getattr(model, part).train()
    noisy = {model.loss(batch).total.item() for _ in range(3)}
    assert len(still) == 1 and len(noisy) == 3


def test_a_hooked_dropout_is_seen() -> None:
    model, batch = make("gru", dropout=0.5).eval(), drawn(0, 4, 2)
    before = [model.loss(batch).total.item() for _ in range(3)][-1]
    model.dropout.register_forward_hook(lambda *call: call[-1] * 2)
    assert relative_error(model.loss(batch).total.item(), before) > 1e-6


def test_replaced_losses_are_seen() -> None:
    model, batch = make("gru"), drawn(0, 4, 2)
    before = [model.loss(batch).total.item() for _ in range(3)][-1]
    token_losses = model.token_losses

    def doubled(*given: Any) -> Any:
        losses, state = token_losses(*given)
        return losses * 2, state

    model.token_losses = doubled  # type: ignore[method-assign]
    assert relative_error(model.loss(batch).total.item(), 2 * before) <= FLOAT64_RTOL


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("others", [1, 5])
def test_a_layer_that_another_thread_called_meanwhile(
    others: int, given: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, batch = make("gru"), drawn(0, 4, 2)
    expected = [t.copy() for t in told(copy.deepcopy(model), batch)]
    losses = language_model._losses

    def after_another(*args: Any) -> Any:
        monkeypatch.undo()
        state = mg.zeros(2, others, 6, dtype=mg.float64) if given else None
        model(drawn(1, 4, others).inputs, state)
        return losses(*args)

    monkeypatch.setattr(language_model, "_losses", after_another)
    for _ in range(3):
        found = told(model, batch)
        assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


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


@pytest.mark.parametrize("shape", [(2, 4), (8, 1)])
def test_targets_in_another_order_are_refused(shape: tuple[int, int]) -> None:
    model, good = make("gru"), drawn(0, 4, 2)
    for one in (model, one_by_one(model)):
        for _ in range(3):
            one.loss(good)
            with pytest.raises(ShapeError, match="targets must have the shape of inp"):
                one.loss(TextBatch(good.inputs, good.targets.reshape(shape)))


def test_a_batch_of_arrays_or_lists() -> None:
    model, (inputs, targets, lengths) = make("gru"), drawn(0, 4, 2, ragged=True)
    arrays = inputs.numpy(), targets.numpy(), lengths.numpy()
    expected = model.loss(TextBatch(inputs, targets, lengths))
    for given in (lengths, arrays[2], arrays[2].tolist()):
        for _ in range(3):
            loss = model.loss(TextBatch(*arrays[:2], given))
            assert loss.total.item() == expected.total.item()
            assert loss.count == expected.count
    assert model.loss(TextBatch(*arrays[:2])).count == 8
    for wrong in (TextBatch(arrays[0].tolist(), targets), TextBatch(inputs, [[1]])):
        with pytest.raises(DTypeError, match="must be a Tensor or a numpy array"):
            model.loss(wrong)


def test_a_batch_that_was_learned_from_is_let_go() -> None:
    model = make("gru")
    for _ in range(3):
        batch = drawn(0, 4, 2)
        loss = model.loss(batch)
        kept = [weakref.ref(t) for t in (batch.inputs, batch.targets, loss.total)]
        loss.total.backward()
        del batch, loss
        assert [ref() for ref in kept] == [None] * 3
