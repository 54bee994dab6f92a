"""One to many, and an encoder with a decoder: beside torch, same weights."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence

import minigrad as mg
import seq
from conformance.policy import FLOAT64_RTOL, relative_error
from minigrad import nn
from minigrad.errors import ArgumentError
from seq.models.decoder import Decoder, EncoderDecoder, OneToMany
from seq.text.padding import IGNORE, Batch

T, B, SYMBOLS, TOKENS, SIZE, HIDDEN = 6, 4, 7, 5, 3, 4
LENGTHS = np.array([6, 2, 4, 1])
KINDS = pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])


def targets() -> Any:
    """Outputs of 4, 1, 3 and 2 tokens, TOKENS - 1 the last of each."""
    y = np.random.default_rng(1).integers(TOKENS - 1, size=(4, B))
    for row, n in enumerate((4, 1, 3, 2)):
        y[n - 1, row] = TOKENS - 1
        y[n:, row] = IGNORE
    return y


class DecoderTwin(torch.nn.Module):
    """`Decoder` in torch's modules, under the same names."""

    def __init__(self, kind: str, context: int) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(TOKENS + 1, SIZE, TOKENS)
        self.bridge = torch.nn.Module()
        n_states = 2 if kind == "LSTM" else 1
        self.bridge.linear = torch.nn.Linear(context, 2 * n_states * HIDDEN)
        self.layer = getattr(torch.nn, kind)(SIZE + context, HIDDEN, 2)
        self.head = torch.nn.Sequential(torch.nn.Linear(HIDDEN, TOKENS))
        self.n_states = n_states

    def loss(self, context: Any, y: Any) -> Any:
        cut = torch.tanh(self.bridge.linear(context))
        cut = cut.view(len(context), 2, -1).transpose(0, 1)
        states = [part.contiguous() for part in cut.split(HIDDEN, -1)]
        before = np.concatenate([np.full_like(y[:1], TOKENS), y[:-1]])
        vectors = self.embedding(torch.tensor(np.maximum(before, 0)))
        seen = context.expand(len(y), *context.shape)
        hx = tuple(states) if self.n_states == 2 else states[0]
        output, _ = self.layer(torch.cat([vectors, seen], -1), hx)
        scores = self.head(output).permute(0, 2, 1)
        return F.cross_entropy(scores, torch.tensor(y), reduction="sum")


def recurrent(kind: str, size: int, **options: Any) -> Any:
    return getattr(seq, kind)(size, HIDDEN, dtype=mg.float64, generator=1, **options)


def assert_same(model: Any, batch: Batch, twin: Any, run: Any) -> None:
    """The loss and every gradient, of the model and of the twin with its weights."""
    twin.double()
    state = {k: torch.tensor(v.numpy()) for k, v in model.state_dict().items()}
    twin.load_state_dict(state)
    loss, expected = model.loss(batch), run(twin)
    assert loss.count == 10
    assert relative_error(loss.total.item(), expected.item()) <= FLOAT64_RTOL
    loss.total.backward()
    expected.backward()
    theirs = dict(twin.named_parameters())
    for name, parameter in model.named_parameters():
        assert np.any(parameter.grad.numpy()), name
        assert relative_error(parameter.grad, theirs[name].grad) <= FLOAT64_RTOL, name


@KINDS
def test_one_to_many_is_torchs(kind: str) -> None:
    layer = recurrent(kind, SIZE + 2, num_layers=2)
    model = OneToMany(SYMBOLS, layer, TOKENS, 2, generator=3)
    twin = torch.nn.Module()
    twin.inputs = torch.nn.Embedding(SYMBOLS, 2)
    twin.decoder = DecoderTwin(kind, 2)
    x = np.array([0, 6, 3, 3])

    def run(twin: Any) -> Any:
        return twin.decoder.loss(twin.inputs(torch.tensor(x)), targets())

    assert_same(model, Batch(x, np.ones(B, np.int64), targets()), twin, run)


@KINDS
@pytest.mark.parametrize("bidirectional", [False, True])
def test_an_encoder_with_a_decoder_is_torchs(kind: str, bidirectional: bool) -> None:
    size = HIDDEN * (1 + bidirectional)
    model = EncoderDecoder(
        recurrent(kind, SIZE, bidirectional=bidirectional),
        recurrent(kind, SIZE + size, num_layers=2),
        TOKENS,
        inputs=nn.Embedding(SYMBOLS, SIZE, dtype=mg.float64, generator=2),
        generator=3,
    )
    twin = torch.nn.Module()
    twin.inputs = torch.nn.Embedding(SYMBOLS, SIZE)
    twin.encoder = getattr(torch.nn, kind)(SIZE, HIDDEN, bidirectional=bidirectional)
    twin.decoder = DecoderTwin(kind, size)
    x = np.random.default_rng(0).integers(SYMBOLS, size=(T, B))

    def run(twin: Any) -> Any:
        vectors = twin.inputs(torch.tensor(x))
        lengths = torch.tensor(LENGTHS)
        packed = pack_padded_sequence(vectors, lengths, enforce_sorted=False)
        _, state = twin.encoder(packed)
        h_n = state[0] if isinstance(state, tuple) else state
        return twin.decoder.loss(torch.cat(list(h_n), -1), targets())

    assert_same(model, Batch(x, LENGTHS, targets()), twin, run)


def test_teacher_forcing_reads_the_truth_and_no_later_token() -> None:
    decoder = Decoder(recurrent("GRU", SIZE + 2), TOKENS, 2, generator=0)
    context = mg.randn(1, 2, dtype=mg.float64, generator=1)
    tokens = np.array([[TOKENS], [1], [2], [3]])
    scores, _ = decoder(tokens, context)
    changed, _ = decoder(np.where(tokens == 3, 0, tokens), context)
    assert np.array_equal(scores[:3].detach(), changed[:3].detach())
    assert not np.array_equal(scores[3].detach(), changed[3].detach())
    # One token at a time, with the state carried on, says the same.
    state, steps = None, []
    for token in tokens:
        step, state = decoder(token[None], context, state)
        steps.append(step)
    assert relative_error(mg.cat(steps).detach(), scores.detach()) <= FLOAT64_RTOL


def test_a_layer_that_does_not_fit_is_named() -> None:
    for layer in (
        recurrent("GRU", 4, bidirectional=True),
        recurrent("GRU", 4, batch_first=True),
        recurrent("GRU", 2),
    ):
        with pytest.raises(ArgumentError, match="the layer of a decoder must have one"):
            Decoder(layer, TOKENS, 2, generator=0)


def test_what_is_written_is_without_dropout_in_training_mode_too() -> None:
    layer = recurrent("GRU", SIZE + 2, num_layers=2, dropout=0.5)
    decoder = Decoder(layer, TOKENS, 2, generator=0)
    context = mg.randn(B, 2, dtype=mg.float64, generator=1)
    places: dict[str, Any] = {"end": TOKENS - 1, "limit": 5}
    found = decoder.greedy(context, **places), decoder.beam(context, beam=3, **places)
    assert decoder.training
    decoder.eval()
    assert found[0] == decoder.greedy(context, **places)
    assert found[1] == decoder.beam(context, beam=3, **places)


def test_the_loss_is_of_what_the_call_gives() -> None:
    """Hooks on the model are run, and a subclass's forward is what learns."""
    one = OneToMany(SYMBOLS, recurrent("GRU", SIZE + 2), TOKENS, 2, generator=3)
    layers = recurrent("GRU", SIZE), recurrent("GRU", SIZE + HIDDEN)
    inputs = nn.Embedding(SYMBOLS, SIZE, dtype=mg.float64, generator=2)
    many = EncoderDecoder(*layers, TOKENS, inputs=inputs, generator=3)
    x = np.arange(T * B).reshape(T, B) % SYMBOLS
    for model, batch in (
        (one, Batch(x[0], np.ones(B, np.int64), targets())),
        (many, Batch(x, LENGTHS, targets())),
    ):
        model.register_forward_hook(lambda m, args, scores: scores * 0)
        total = model.loss(batch).total.item()
        assert relative_error(total, 10 * np.log(TOKENS)) <= FLOAT64_RTOL
