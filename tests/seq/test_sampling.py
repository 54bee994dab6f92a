"""Sampling: the model's distribution, and the same again for the same seed."""

import math
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import ArgumentError
from seq.models.language_model import LanguageModel
from seq.models.sampling import sample
from seq.text.vocabulary import EOS, PAD, UNK, Vocabulary

VOCABULARY = Vocabulary("abcdefg")


def make(**options: Any) -> LanguageModel:
    plain = {"hidden_size": 8, "num_layers": 2, "generator": 0}
    return LanguageModel(VOCABULARY, **{**plain, **options})


def with_bias(values: dict[int, float], **options: Any) -> LanguageModel:
    """A model that scores these tokens by these values, and others very low."""
    model = make(**options)
    bias = np.full(len(VOCABULARY) - 1, -30.0, np.float32)
    bias[np.array(list(values)) - 1] = list(values.values())
    model.head.bias.assign(bias)
    model.head.weight.assign(np.zeros(model.head.weight.shape, np.float32))
    return model


def shares(model: LanguageModel, n: int = 20_000, **options: Any) -> dict[str, float]:
    """How often each text of one token was drawn."""
    texts = sample(model, n, length=1, generator=0, **options)
    return {text: texts.count(text) / n for text in sorted(set(texts))}


def near(found: dict[str, float], expected: dict[str, float], n: int = 20_000) -> bool:
    """Whether each share is within five standard errors; the seed is fixed."""
    gaps = {t: abs(found.get(t, 0.0) - p) for t, p in expected.items()}
    errors = {t: (p * (1 - p) / n) ** 0.5 for t, p in expected.items()}
    return found.keys() <= expected.keys() and all(
        gaps[t] <= 5 * errors[t] for t in expected
    )


def test_tokens_come_as_often_as_the_softmax_says() -> None:
    p = {"a": 0.5, "b": 0.3, "c": 0.15, "": 0.05}
    numbers = [3, 4, 5, EOS]
    model = with_bias(dict(zip(numbers, np.log(list(p.values())), strict=True)))
    assert near(shares(model), p)
    squares = {text: q**2 for text, q in p.items()}
    total = sum(squares.values())
    assert near(
        shares(model, temperature=0.5), {t: q / total for t, q in squares.items()}
    )
    assert near(shares(model, top_k=2), {"a": 0.5 / 0.8, "b": 0.3 / 0.8})
    assert shares(model, temperature=0, n=10) == {"a": 1.0}
    assert shares(model, top_k=1, n=10) == {"a": 1.0}
    assert near(shares(model, top_k=99), p)


def test_top_k_is_that_many_tokens_where_some_are_as_likely() -> None:
    numbers = [3, 4, 5, EOS]
    model = with_bias(dict.fromkeys(numbers, 0.0))
    for k in (1, 2, 3):
        found = shares(model, n=200, top_k=k)
        assert len(found) == k and found.keys() <= {"a", "b", "c", ""}


def test_a_path_is_drawn_as_often_as_it_is_probable() -> None:
    """Each draw is fed back in: a pair's share is the product of its parts."""
    model = make(cell="gru")
    weight = model.head.weight.detach().numpy() * 8
    model.head.weight.assign(weight)
    n = 20_000
    texts = sample(model, n, length=2, generator=1, unknown=True)
    model.lines = False  # two letters, whatever follows
    found = {text: texts.count(text) / n for text in ("aa", "ag", "fc", "bd")}
    expected = {text: math.exp(model.log_probability(text)) for text in found}
    assert near(found, expected)
    assert len({round(p, 3) for p in expected.values()}) > 2


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm", "lstm_peephole"])
@pytest.mark.parametrize("embedding", [None, 3])
def test_the_likeliest_is_what_the_layers_say(cell: str, embedding: int | None) -> None:
    """The streaming steps against the whole sequence, token by token."""
    model = make(cell=cell, embedding_size=embedding, lines=False)
    model.head.weight.assign(mg.randn(*model.head.weight.shape, generator=5))
    check_likeliest(model)


def test_the_likeliest_is_what_a_changed_model_says() -> None:
    """Another forward, a hook or another head is no less of the model than weights."""

    class Turned(LanguageModel):
        def forward(self, *args: Any) -> Any:
            scores, state = super().forward(*args)
            return -3 * scores, state

    plain = {"hidden_size": 8, "lines": False, "dropout": 0.5, "generator": 0}
    check_likeliest(Turned(VOCABULARY, **plain))
    hooked = make(lines=False)
    hooked.head.register_forward_hook(lambda module, args, y: -3 * y)
    check_likeliest(hooked)
    replaced = make(lines=False)
    replaced.head = nn.Linear(8, len(VOCABULARY) - 1, bias=False, generator=1)
    check_likeliest(replaced)
    for embedding in (None, 4):  # of parts that have no weight of their own
        deep = make(lines=False, embedding_size=embedding)
        deep.head = nn.Sequential(deep.head, nn.Tanh())
        if embedding:
            deep.embedding = nn.Sequential(deep.embedding, nn.Linear(4, 4, generator=1))
        check_likeliest(deep)


def check_likeliest(model: LanguageModel) -> None:
    prompt, training = "bad", model.training
    (text,) = sample(model, prompt=prompt, length=30, temperature=0)
    assert model.training is training
    model.eval()
    numbers = model.vocabulary.encode(prompt).tolist()
    while len(numbers) < 33:  # <EOS> is a newline in it, and ends nothing
        scores, _ = model(np.array([PAD, *numbers]))
        last = scores[-1].detach().numpy().copy()
        last[UNK - 1] = -np.inf
        numbers.append(int(last.argmax()) + 1)
    assert text == model.vocabulary.decode(numbers)


def test_the_same_seed_draws_the_same() -> None:
    model = make()
    found = [sample(model, 5, generator=seed) for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]
    generator = np.random.default_rng(1)
    first = sample(model, 5, generator=generator)
    assert first == found[0]
    assert sample(model, 5, generator=generator) != first
    mg.manual_seed(4)
    by_default = sample(model, 5)
    mg.manual_seed(4)
    assert sample(model, 5) == by_default


def test_many_texts_end_one_by_one() -> None:
    model = with_bias({3: 1.0, 4: 0.0, EOS: 0.0})
    texts = sample(model, 200, length=500, generator=0)
    lengths = {len(text) for text in texts}
    assert 0 in lengths and len(lengths) > 5 and max(lengths) < 100
    assert set("".join(texts)) == {"a", "b"}
    endless = sample(with_bias({3: 0.0, 4: 0.0}), 3, length=70, generator=0)
    assert [len(text) for text in endless] == [70] * 3


def test_a_running_text_goes_on_after_a_newline() -> None:
    model = with_bias({3: 0.0, EOS: 0.0}, lines=False)
    texts = sample(model, 20, length=50, generator=0)
    assert {len(text) for text in texts} == {50}
    assert set("".join(texts)) == {"a", "\n"}
    vocabulary = Vocabulary("ab\n")
    model = LanguageModel(vocabulary, hidden_size=2, lines=False, generator=0)
    bias = np.zeros(len(vocabulary) - 1, np.float32)
    bias[EOS - 1] = 50.0  # which never occurs in such a text
    model.head.bias.assign(bias)
    (text,) = sample(model, length=50, generator=0)
    assert len(text) == 50 and set(text) == {"a", "b", "\n"}


def test_what_is_never_drawn() -> None:
    model = with_bias({UNK: 50.0, 3: 0.0})
    assert sample(model, length=20, generator=0) == ["a" * 20]
    assert "<UNK>" in sample(model, length=20, unknown=True, generator=0)[0]


def test_a_prompt_is_read_and_written() -> None:
    model = make(embedding_size=3)
    (text,) = sample(model, prompt="abz", length=5, generator=0)
    assert text.startswith("ab<UNK>")
    words = Vocabulary.fit(["the cat sat ."], "word")
    model = LanguageModel(words, hidden_size=4, generator=0)
    (text,) = sample(model, prompt="the cat", length=3, generator=0)
    assert text.startswith("the cat")


def test_bad_arguments() -> None:
    for options in (
        {"n": 0},
        {"length": 0},
        {"temperature": -1},
        {"temperature": float("nan")},
        {"temperature": 1e31},
        {"temperature": "hot"},
        {"top_k": 0},
        {"generator": "seed"},
    ):
        with pytest.raises(ArgumentError):
            sample(make(), **options)  # type: ignore[arg-type]
