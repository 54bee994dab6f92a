"""Words, characters, and their numbers."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.errors import ArgumentError, IndexRangeError
from seq.errors import FileFormatError
from seq.text.vocabulary import _WORD, EOS, PAD, UNK, Vocabulary

TEXT = "the cat, which ate already, was full.\nthe cats were full."


def test_the_frequent_come_first_and_then_the_alphabet() -> None:
    vocabulary = Vocabulary.fit(["b a", "c a b", "a"], "word")
    assert vocabulary.tokens == ("a", "b", "c")
    assert vocabulary.encode("c a").tolist() == [5, 3]


def test_min_count_and_max_size() -> None:
    texts = ["a a a b b c c d"]
    assert Vocabulary.fit(texts, "word", min_count=2).tokens == ("a", "b", "c")
    assert Vocabulary.fit(texts, "word", max_size=2).tokens == ("a", "b")
    assert len(Vocabulary.fit(texts, "word", max_size=2)) == 5


def test_what_is_unknown_and_what_ends_a_sentence() -> None:
    words = Vocabulary.fit([TEXT], "word")
    assert words.encode("the zebra\n").tolist()[1:] == [UNK, EOS]
    assert words.decode([UNK, PAD]) == "<UNK>"
    characters = Vocabulary.fit([TEXT])
    assert characters.encode("\nté").tolist()[::2] == [EOS, UNK]
    running = Vocabulary.fit([TEXT], newlines=True)
    assert EOS not in running.encode(TEXT)


def test_words_are_split_from_signs_and_joined_again() -> None:
    words = Vocabulary.fit([TEXT], "word")
    assert words.split("Don't stop,\n \n(now)!") == [
        *["Don't", "stop", ",", "\n", "(", "now", ")", "!"]
    ]
    assert words.decode(words.encode(TEXT)) == TEXT


@pytest.mark.parametrize(
    "text",
    [
        "नमस्ते दुनिया",  # vowel signs and viramas
        "cafe\u0301 noe\u0308l's",  # accents of their own
        "\u0645\u06cc\u200c\u0634\u0648\u062f",  # a joiner that keeps letters apart
        "❤\ufe0f 👩\u200d",  # what says how a sign is drawn
        "กำลัง ที่",
    ],
)
def test_marks_stay_on_their_letters(text: str) -> None:
    words = Vocabulary.fit([text], "word")
    assert words.split(text) == text.split()
    assert words.decode(words.encode(text)) == text


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_characters_come_back_as_they_were(text: str) -> None:
    vocabulary = Vocabulary.fit([text], newlines=True)
    assert vocabulary.decode(vocabulary.encode(text)) == text
    assert vocabulary.encode(text).dtype == np.int64


@given(
    st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from(["char", "word"])
)
def test_a_token_of_the_text_is_never_a_special_one(text: str, level: str) -> None:
    vocabulary = Vocabulary.fit([text + "<PAD> <UNK>"], level, newlines=True)
    assert set(vocabulary.encode(text).tolist()) <= {EOS, *range(3, len(vocabulary))}


def test_a_number_that_stands_for_nothing() -> None:
    for number in (-1, 5):
        with pytest.raises(IndexRangeError, match=f"{number} stands for no token"):
            Vocabulary(["a", "b"]).decode([number])


def test_one_hot_vectors_times_a_table_are_its_rows() -> None:
    vocabulary = Vocabulary("abc")
    numbers = np.array([[3, 5], [PAD, 4]])
    table = mg.randn(len(vocabulary), 4, generator=0)
    vectors = vocabulary.one_hot(numbers)
    assert vectors.shape == (2, 2, 6)
    assert vectors.sum(-1).tolist() == [[1, 1], [0, 1]]
    rows = mg.embedding(mg.tensor(numbers), table)
    assert np.array_equal((vectors @ table)[0].numpy(), rows[0].numpy())
    assert not (vectors @ table)[1, 0].numpy().any()  # x⟨1⟩ is zeros


@pytest.mark.parametrize("level", ["char", "word"])
def test_saved_and_loaded(tmp_path: Path, level: str) -> None:
    vocabulary = Vocabulary.fit([TEXT, "日本 é"], level)
    vocabulary.save(tmp_path / "v.json")
    assert Vocabulary.load(tmp_path / "v.json") == vocabulary
    assert vocabulary != Vocabulary.fit([TEXT], level)
    assert [p.name for p in tmp_path.iterdir()] == ["v.json"]


def test_half_a_surrogate_pair_is_saved_as_any_token(tmp_path: Path) -> None:
    vocabulary = Vocabulary(["\udce9", "é", "\\"])
    vocabulary.save(tmp_path / "v.json")
    assert Vocabulary.load(tmp_path / "v.json") == vocabulary


def test_a_save_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "v.json"
    Vocabulary("ab").save(path)

    def full(*arguments: int) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="no space left"):
            Vocabulary("cd").save(path)
    with pytest.raises(OSError):
        Vocabulary("ab").save(tmp_path)
    assert Vocabulary.load(path).tokens == ("a", "b")
    assert [p.name for p in tmp_path.iterdir()] == ["v.json"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{",
        "[" * 100_000,
        json.dumps({"level": "char"}),
        json.dumps({"level": "char", "tokens": [1]}),
        json.dumps({"level": "byte", "tokens": []}),
        json.dumps({"level": "char", "tokens": ["a", "a"]}),
        "\udcff",
    ],
)
def test_a_file_that_holds_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "v.json"
    path.write_text(content, "utf-8", "surrogateescape")
    with pytest.raises(FileFormatError, match=r"v\.json holds no vocabulary"):
        Vocabulary.load(path)


def test_a_text_without_marks_is_split_as_if_there_were_none() -> None:
    plain = re.compile(r"\s*\n\s*|\w+(?:['\u2019]\w+)*|[^\w\s]")
    text = "The cat's asleep, it seems.\n" * 20
    assert _WORD.findall(text) == plain.findall(text)


def test_a_million_spaces_are_split_at_once() -> None:
    gap = " " * 1_000_000
    assert Vocabulary([], "word").split(f"a{gap}b{gap}\n{gap}c") == list("ab\nc")


def test_bad_arguments() -> None:
    with pytest.raises(ArgumentError, match="level must be"):
        Vocabulary.fit(["a"], "byte")
    with pytest.raises(ArgumentError, match="given twice"):
        Vocabulary(["a", "<EOS>"], "word")
    with pytest.raises(ArgumentError, match="min_count"):
        Vocabulary.fit(["a"], min_count=0)
    with pytest.raises(ArgumentError, match="max_size"):
        Vocabulary.fit(["a"], max_size=0)
