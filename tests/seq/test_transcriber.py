"""CTC over a tagger beside torch; a word's vector from its characters."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import minigrad as mg
import seq
from conformance.policy import FLOAT64_RTOL, float32_limit, relative_error
from minigrad.errors import ArgumentError
from seq.models.transcriber import Transcriber, collapse
from seq.text.padding import IGNORE, Batch
from seq.text.words import N_FORMS, WordInputs, WordTable, form

T, B, SIZE, LABELS = 9, 3, 4, 5
LENGTHS = np.array([9, 5, 7])


def test_the_loss_and_its_gradients_are_torchs() -> None:
    layer = seq.GRU(SIZE, 6, bidirectional=True, dtype=mg.float64, generator=0)
    model = Transcriber(layer, LABELS, generator=1)
    x = np.random.default_rng(0).normal(size=(T, B, SIZE))
    y = np.array([[1, 2, 3], [1, IGNORE, 4], [4, IGNORE, IGNORE]])
    loss = model.loss(Batch(x, LENGTHS, y))
    assert loss.count == 6
    steps = torch.tensor(model.activations(x, LENGTHS).detach().numpy())
    weight, bias = (torch.tensor(p.detach().numpy()) for p in model.head.parameters())
    weight.requires_grad_()
    expected = F.ctc_loss(
        F.linear(steps, weight, bias).log_softmax(-1),
        torch.tensor(np.where(y == IGNORE, 0, y).T),
        torch.tensor(LENGTHS),
        torch.tensor([3, 1, 2]),
        reduction="sum",
    )
    assert relative_error(loss.total.item(), expected.item()) <= FLOAT64_RTOL
    loss.total.backward()
    expected.backward()
    grad = next(iter(model.head.parameters())).grad
    assert relative_error(grad, weight.grad) <= FLOAT64_RTOL


def test_a_transcript_looks_at_no_padding() -> None:
    layer = seq.GRU(SIZE, 6, dtype=mg.float64, generator=0)
    model = Transcriber(layer, LABELS, generator=1)
    x = 9 * np.random.default_rng(0).normal(size=(T, B, SIZE))
    together = model.transcribe(x, LENGTHS)
    for i, n in enumerate(LENGTHS):
        assert model.transcribe(x[:n, i : i + 1]) == [together[i]]
        best = model(x[:n, i : i + 1]).detach().numpy()[:, 0].argmax(-1)
        assert together[i] == collapse(best)
    assert collapse(np.array([], np.int64)) == []


def test_a_weight_for_labels_is_refused() -> None:
    with pytest.raises(ArgumentError, match="takes no weight"):
        Transcriber(seq.GRU(SIZE, 6), 3, weight=[1.0, 2.0, 3.0])


def test_how_a_word_is_written() -> None:
    assert form("NASA") == [1, 1, 0, 0, 0, 0]
    assert form("@a1") == [0, 0, 1, 1, 0, 0]
    assert form("#x") == [0, 0, 0, 0, 1, 0]
    assert form("http://t.co") == [0, 0, 0, 0, 0, 1]
    assert form("I") == [1, 0, 0, 0, 0, 0]


def test_the_vector_of_a_word_is_the_same_wherever_it_stands() -> None:
    table = WordTable([["Anna", "and", "anna"], ["and", "Bob"]])
    assert set(table.words) == {"anna", "and"}
    layer = seq.GRU(3, 4, bidirectional=True, generator=0)
    inputs = WordInputs(table, 5, layer, dropped=0.5, generator=1).eval()
    assert inputs.output_size == 5 + N_FORMS + 8
    first, second = table.encode(["Anna", "saw", "Bob"]), table.encode(["saw", "Anna"])
    both = inputs(mg.tensor(np.array([first[:2], second[::-1]]).T)).detach().numpy()
    assert both.shape == (2, 2, inputs.output_size)
    assert np.array_equal(both[0, 0], both[0, 1])
    assert not np.array_equal(both[0, 0], both[1, 0])
    alone = inputs(mg.tensor(second[:, None])).detach().numpy()
    assert relative_error(alone[0, 0], both[1, 0]) <= float32_limit(0.0)
    unknown = inputs(mg.tensor(table.encode(["Zzz", "Qqq"])[:, None])).detach().numpy()
    assert np.array_equal(unknown[0, 0, :5], unknown[1, 0, :5])


def test_a_word_of_no_letters_is_read_beside_others() -> None:
    table = WordTable([["Anna"]], least=1)
    inputs = WordInputs(table, 5, seq.GRU(3, 4, generator=0), generator=1)
    vectors = inputs(mg.tensor(table.encode(["", "Anna"])[:, None])).detach().numpy()
    assert not vectors[0, 0, 5:].any() and vectors[1, 0, 5:].any()


@pytest.mark.parametrize("cast", [False, True])
def test_words_are_read_in_the_dtype_of_their_layer(cast: bool) -> None:
    table = WordTable([["Anna", "and", "anna"]], least=1)
    layer = seq.GRU(3, 4, dtype=mg.float32 if cast else mg.float64, generator=0)
    inputs = WordInputs(table, 5, layer, dropped=0.5, generator=1)
    inputs = inputs.double() if cast else inputs
    assert inputs(mg.tensor(table.encode(["Anna", "and"])[:, None])).dtype == mg.float64


def test_a_transcript_is_without_dropout_in_training_mode_too() -> None:
    layer = seq.GRU(SIZE, 6, dtype=mg.float64, generator=0)
    model = Transcriber(layer, LABELS, dropout=0.5, generator=1)
    x = 9 * np.random.default_rng(0).normal(size=(30, B, SIZE))
    found = model.transcribe(x)
    assert model.training
    assert found == model.eval().transcribe(x)
    assert not model.training
