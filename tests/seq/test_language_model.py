"""Language models: beside PyTorch's modules, and by hand."""

import contextlib
import json
import math
import tracemalloc
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

import minigrad as mg
import seq
from conformance.policy import FLOAT64_RTOL, float32_limit, relative_error
from minigrad import nn
from minigrad.errors import ArgumentError, DTypeError
from seq.cells import gru_reset_before, mgu
from seq.errors import FileFormatError
from seq.files import read_arrays, write_arrays
from seq.models.language_model import KEY, LanguageModel
from seq.text.batches import TextBatch, Windows, text_batch
from seq.text.ngram import NGram
from seq.text.vocabulary import EOS, PAD, Vocabulary
from seq.training import checkpoint, evaluate, fit

from .small_model import VOCABULARY, make

LINES = [np.array(line) for line in ([3, 4, 5, 1], [9, 1], [6, 6, 6, 8, 7, 1])]


class Reference(torch.nn.Module):
    """The same in PyTorch: x⟨1⟩ is a vector of zeros, and what is padding is 0 loss."""

    def __init__(self, cell: str, model: LanguageModel) -> None:
        super().__init__()
        n, size = len(VOCABULARY), model.recurrent.input_size
        self.embedding = None
        if model.embedding is not None:
            self.embedding = torch.nn.Embedding(n, size).double()
        modules = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}
        self.recurrent = modules[cell](size, 6, 2).double()
        self.head = torch.nn.Linear(6, n - 1).double()
        self.load_state_dict(model.state_dict())

    def forward(self, inputs: Any, targets: Any, lengths: Any, state: Any) -> Any:
        one_hot = torch.eye(len(VOCABULARY)).double()
        table = self.embedding.weight if self.embedding else one_hot
        x = table[inputs] * (inputs != PAD)[..., None]
        output, state = self.recurrent(x, state)
        scores = self.head(output).transpose(1, 2)
        losses = torch.nn.functional.cross_entropy(
            scores, (targets - 1).clamp(min=0), reduction="none"
        )
        live = torch.arange(len(inputs))[:, None] < torch.tensor(lengths)
        return losses * live, state


def as_torch(state: Any) -> Any:
    if isinstance(state, tuple):
        return tuple(map(as_torch, state))
    return state if state is None else torch.tensor(state.numpy())


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("embedding", [None, 4])
@pytest.mark.parametrize("carried", [False, True])
def test_loss_and_gradients_beside_torch(
    cell: str, embedding: int | None, carried: bool
) -> None:
    model = make(cell, embedding)
    twin = Reference(cell, model)
    batch, state = text_batch(LINES), None
    if carried:  # as in the middle of a running text
        ids = np.random.default_rng(0).integers(3, 10, (5, 3))
        batch = TextBatch(mg.tensor(ids[:-1]), mg.tensor(ids[1:]))
        with mg.no_grad():
            _, state = model(mg.tensor(ids[:2]))
    lengths = [4] * 3 if carried else [4, 2, 6]
    losses, last = model.token_losses(batch, state)
    loss = model.loss(batch, state)
    inputs, targets = (torch.tensor(part.numpy()) for part in batch[:2])
    theirs, their_last = twin(inputs, targets, lengths, as_torch(state))
    assert relative_error(losses.detach(), theirs.detach()) <= FLOAT64_RTOL
    assert loss.count == sum(lengths)
    loss.total.backward()
    theirs.sum().backward()
    for name, parameter in twin.named_parameters():
        gradient = dict(model.named_parameters())[name].grad
        assert relative_error(gradient.numpy(), parameter.grad) <= FLOAT64_RTOL, name
    if carried:
        pairs = [(last, their_last)]
        pairs = list(zip(last, their_last, strict=True)) if cell == "lstm" else pairs
        for a, b in pairs:
            assert relative_error(a.detach(), b.detach()) <= FLOAT64_RTOL


def test_one_hot_times_a_table_is_the_embedding() -> None:
    """x⟨t⟩ = o⟨t⟩ E: the table goes into W_ih, and nothing else changes."""
    model, plain = make("gru", 4), make("gru")
    found = model.state_dict()
    table = found.pop("embedding.weight").numpy()
    found["recurrent.weight_ih_l0"] = found["recurrent.weight_ih_l0"].numpy() @ table.T
    plain.load_state_dict(found)
    batch = text_batch(LINES)
    a, b = model.token_losses(batch)[0], plain.token_losses(batch)[0]
    assert relative_error(a.detach(), b.detach()) <= FLOAT64_RTOL


def test_the_first_input_is_zeros() -> None:
    model = make(embedding=4)
    assert not model.vectors[PAD].detach().numpy().any()
    fit(
        model,
        [text_batch(LINES)],
        mg.optim.Adam(model.parameters(), lr=0.1),
        steps=5,
        progress=False,
    )
    assert not model.vectors[PAD].detach().numpy().any()
    scores, _ = model(np.array([PAD]))
    zeros, _ = model.recurrent(mg.zeros(1, 4, dtype=mg.float64))
    assert np.array_equal(scores.detach().numpy(), model.head(zeros).detach().numpy())


def test_a_probability_is_the_product_of_its_parts() -> None:
    model = make()
    scores, _ = model(np.array([PAD, 3, 4]))
    parts = scores.softmax(-1).detach().numpy()
    p = parts[0, 2] * parts[1, 3] * parts[2, EOS - 1]
    assert relative_error(model.log_probability("ab"), math.log(p)) <= FLOAT64_RTOL
    text = make(lines=False)
    p = parts[0, 2] * parts[1, 3]
    assert relative_error(text.log_probability("ab"), math.log(p)) <= FLOAT64_RTOL
    with pytest.raises(ArgumentError, match="empty text"):
        text.log_probability("")
    p = parts[0, EOS - 1]
    assert relative_error(model.log_probability(""), math.log(p)) <= FLOAT64_RTOL


def test_the_probabilities_of_all_texts_are_one() -> None:
    """Of all that have one token, and of all that have two."""
    model = make("gru")
    tokens = range(1, len(VOCABULARY))
    for n in (1, 2):
        texts = [np.array(text) for text in product(tokens, repeat=n)]
        p = np.exp(model.log_probabilities(text_batch(texts)))
        assert relative_error(p.sum(), 1.0) <= FLOAT64_RTOL


def test_a_batch_is_its_examples_one_by_one() -> None:
    model = make("mgu", dropout=0.5)
    together = model.log_probabilities(text_batch(LINES))
    apart = [model.log_probabilities(text_batch([line]))[0] for line in LINES]
    assert relative_error(together, np.array(apart)) <= FLOAT64_RTOL
    model.eval()
    assert evaluate(model, [text_batch(LINES)]) == evaluate(model, [text_batch(LINES)])
    total = -evaluate(model, [text_batch(LINES)]) * 12
    assert relative_error(together.sum(), total) <= FLOAT64_RTOL


def test_windows_with_a_carried_state_are_the_whole_text() -> None:
    tokens = np.random.default_rng(0).integers(3, 10, 60)
    model = make("lstm", 4)
    for window in (1, 7, 60):
        found = evaluate(model, Windows(tokens, 1, window), carry=True)
        whole = -model.log_probabilities(text_batch([tokens]))[0] / 60
        assert relative_error(found, whole) <= FLOAT64_RTOL


def test_the_dtype_may_change() -> None:
    for embedding in (None, 4):
        model = make("gru", embedding, dtype=mg.float32)
        before = model.log_probability("abc")
        after = model.double().log_probability("abc")
        assert relative_error(before, after) <= float32_limit(0.0)
        model.float()
        assert model.log_probability("abc") == before


def test_dropout_is_of_training_only() -> None:
    model = make(dropout=0.5, generator=np.random.default_rng(0))
    x = np.array([3, 4, 5])
    a, b = (model(x)[0].detach().numpy() for _ in range(2))
    assert not np.array_equal(a, b)
    model.eval()
    a, b = (model(x)[0].detach().numpy() for _ in range(2))
    assert np.array_equal(a, b)


@seq.cell
def own(x: "I", h: "H", *, w: "H I", u: "H H"):  # noqa: F722, F821
    """A user's."""
    return mg.tanh(x @ w.T + h @ u.T)


@pytest.mark.parametrize("cell", ["lstm", "rnn", "gru_reset_before", mgu, own])
@pytest.mark.parametrize("embedding", [None, 4])
def test_saved_and_loaded(tmp_path: Path, cell: Any, embedding: int | None) -> None:
    path = tmp_path / "model.safetensors"
    model = make(cell, embedding, dropout=0.1, lines=False)
    model.save(path)
    again = LanguageModel.load(path, cell=own if cell is own else None)
    assert again.vocabulary == model.vocabulary and again.lines is False
    assert not again.training and again.dropout.p == 0.1
    assert repr(again) == repr(model)
    text = "abc"
    assert again.log_probability(text) == model.log_probability(text)


@pytest.mark.parametrize(
    ("part", "other"),
    [
        ("head", nn.Linear(6, 9, bias=False)),
        ("head", nn.Sequential(nn.Linear(6, 9))),
        ("embedding", nn.Sequential(nn.Embedding(10, 4))),
        ("recurrent", seq.LSTM(4, 6, bias=False)),
        ("recurrent", seq.LSTM(4, 12, proj_size=6)),
    ],
)
def test_what_could_not_be_loaded_is_not_saved(
    tmp_path: Path, part: str, other: nn.Module
) -> None:
    model, path = make(embedding=4, dtype=mg.float32), tmp_path / "model.safetensors"
    setattr(model, part, other)
    with pytest.raises(ArgumentError, match="one is of another kind"):
        model.save(path)
    assert not path.exists()
    checkpoint.save(path, model.state_dict())
    model.load_state_dict(checkpoint.load(path))


def test_the_equations_of_a_saved_model_are_its_own(tmp_path: Path) -> None:
    """Cells that have the same parameters can't be told apart by the weights."""
    path = tmp_path / "model.safetensors"
    named = seq.Cell(gru_reset_before.fn)
    named.name = "gru"  # a user's, but named as the built-in one
    gru = seq.CELLS["gru"]
    for saved, cell, message in (
        (own, None, r"model\.safetensors is of a cell 'own' .* load it in Python"),
        (own, gru, "is of the cell 'own', but cell is 'gru'"),
        (named, None, "'gru' that is not built in"),
        (named, gru, "is of the own cell 'gru', but cell is the built-in one"),
        (gru, named, "is of the built-in cell 'gru', but cell is the own one"),
        (gru, gru_reset_before, "is of the cell 'gru', but cell is 'gru_reset_before'"),
    ):
        make(saved).save(path)
        with pytest.raises(ArgumentError, match=message):
            LanguageModel.load(path, cell=cell)
    make(named).save(path)
    again = LanguageModel.load(path, cell=named)
    assert again.log_probability("abc") == make(named).log_probability("abc")


def test_a_file_that_does_not_say_whose_its_cell_is(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    for saved, cell in ((mgu, None), (mgu, mgu), (own, own)):
        make(saved).save(path)
        arrays, metadata = read_arrays(path)
        described = json.loads(metadata[KEY])
        del described["own_cell"]
        write_arrays(path, arrays, {KEY: json.dumps(described)})
        again = LanguageModel.load(path, cell=cell)
        assert again.log_probability("abc") == make(saved).log_probability("abc")
    with pytest.raises(FileFormatError, match=r"cell must be one of .* got 'own'"):
        LanguageModel.load(path)


def test_a_file_that_holds_no_model(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    make().save(path)
    arrays, metadata = read_arrays(path)
    described = json.loads(metadata[KEY])
    for changed in (
        {},
        {KEY: "{"},
        {KEY: "[]"},
        {KEY: json.dumps({**described, "hidden_size": 7})},
        {KEY: json.dumps({**described, "hidden_size": 10**9})},
        {KEY: json.dumps({**described, "embedding_size": 10**9})},
        {KEY: json.dumps({**described, "num_layers": 10**9})},
        {KEY: json.dumps({**described, "hidden_size": "many"})},
        {KEY: json.dumps({**described, "cell": "no_such"})},
        {KEY: json.dumps({**described, "cell": ["lstm"]})},
        {KEY: json.dumps({**described, "vocabulary": 3})},
        {KEY: json.dumps({**described, "dtype": "object"})},
        {KEY: json.dumps({**described, "more": 1})},
    ):
        write_arrays(path, arrays, changed)
        with pytest.raises(FileFormatError, match="holds no language model"):
            LanguageModel.load(path)
    with contextlib.suppress(ImportError):  # which gives numpy the types, if it's there
        import ml_dtypes  # noqa: F401
    for dtype in (torch.bfloat16, torch.float8_e4m3fn):  # numpy has no such type
        weights = {name: torch.tensor(a).to(dtype) for name, a in arrays.items()}
        path.write_bytes(safetensors.torch.save(weights, {KEY: json.dumps(described)}))
        with pytest.raises(FileFormatError, match="type that numpy does not have"):
            LanguageModel.load(path)
    # One-hot vectors of so many tokens would take gigabytes.
    many = {"level": "char", "tokens": [chr(0x4E00 + i) for i in range(9000)]}
    write_arrays(path, arrays, {KEY: json.dumps({**described, "vocabulary": many})})
    with pytest.raises(FileFormatError, match="vocabulary is 9003, but by its weights"):
        LanguageModel.load(path)
    path.write_bytes(b"\x80\x04cos\nsystem\n")  # a pickle is never unpickled
    with pytest.raises(FileFormatError, match="no whole safetensors file"):
        LanguageModel.load(path)


@pytest.mark.parametrize("dtype", [np.float16, None, "bad"])
@pytest.mark.parametrize("embedding_size", [None, 4])
def test_a_dtype_that_there_is_not(dtype: Any, embedding_size: int | None) -> None:
    with pytest.raises(DTypeError, match="dtype must be float32, float64"):
        LanguageModel(VOCABULARY, embedding_size=embedding_size, dtype=dtype)


def test_a_table_of_one_hot_vectors_has_a_limit_and_is_there_once() -> None:
    many = Vocabulary([chr(0x4E00 + i) for i in range(16_400)])
    with pytest.raises(ArgumentError, match=r"16,403 tokens.* 1.1 GB.*embedding_size"):
        LanguageModel(many, "gru", 8)
    assert LanguageModel(many, "gru", 1, embedding_size=1).embedding is not None
    some = Vocabulary([chr(0x4E00 + i) for i in range(1021)])
    tracemalloc.start()
    model = LanguageModel(some, "rnn", 1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.5 * 4 * len(some) ** 2
    expected = np.eye(len(some), dtype=np.float32)
    expected[PAD] = 0
    assert np.array_equal(model.vectors.numpy(), expected)


def test_cells_that_do_not_fit() -> None:
    for cell in ("no_such", "lstm_zoneout", "lstm_proj", 3):
        with pytest.raises(ArgumentError, match="cell must be one of rnn, "):
            make(cell)


def test_n_grams_are_distributions() -> None:
    rng = np.random.default_rng(0)
    lines = [np.append(rng.integers(3, 6, n), EOS) for n in rng.integers(1, 9, 30)]
    for n in (1, 2, 3):
        model = NGram(n, 6).fit(lines)
        for line in lines[:3]:
            losses = [model.loss([np.array([*line[:2], i])]) * 3 for i in range(6)]
            before = model.loss([line[:2]]) * 2
            p = np.exp(before - np.array(losses)).sum()
            assert relative_error(p, 1.0) <= FLOAT64_RTOL
        longer = NGram(4, 6).fit(lines[:9]).fit(lines[9:])
        assert longer.shorter(n).loss(lines) == model.loss(lines)
    with pytest.raises(ArgumentError, match="n must be"):
        NGram(0, 3)
    with pytest.raises(ArgumentError, match="no token"):
        NGram(1, 3).loss([np.zeros(0, int)])
    with pytest.raises(ArgumentError, match="up to 3 tokens in a row"):
        model.shorter(4)
