"""Text files, good and bad, of any size."""

import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.errors import ArgumentError
from seq.errors import FileFormatError
from seq.text import corpus as reading
from seq.text.corpus import (
    Corpus,
    TokenFile,
    read_chunks,
    read_corpus,
    rewindable,
    whole_words,
)
from seq.text.vocabulary import EOS, Vocabulary


def corpus_of(text: str | bytes, **options: object) -> Corpus:
    data = text.encode() if isinstance(text, str) else text
    return read_corpus(io.BytesIO(data), **options)  # type: ignore[arg-type]


def decoded(corpus: Corpus) -> list[str]:
    parts = (corpus.train, corpus.held_out)
    return [corpus.vocabulary.decode(part[:]) for part in parts]


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "CHUNK", 3)


def test_lines_are_shared_out_whole() -> None:
    lines = [f"name {i}" for i in range(300)]
    corpus = corpus_of("\n\n".join(lines), held_out=0.2)
    train, held_out = decoded(corpus)
    assert sorted(train.splitlines() + held_out.splitlines()) == sorted(lines)
    assert train.endswith("\n") and held_out.endswith("\n")
    assert 30 < len(held_out.splitlines()) < 90
    assert "\n" not in corpus.vocabulary.tokens


def test_the_seed_says_which_lines_are_held_out() -> None:
    text = "\n".join(map(str, range(100)))
    found = [decoded(corpus_of(text, seed=seed))[1] for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]


def test_a_running_text_is_cut_in_two() -> None:
    text = "one\n\ntwo\n" * 10
    corpus = corpus_of(text, lines=False, held_out=0.3)
    train, held_out = decoded(corpus)
    assert train + held_out == text
    assert len(held_out) == round(0.3 * len(text))


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("level", ["char", "word"])
@pytest.mark.parametrize("lines", [True, False])
def test_chunks_do_not_show(level: str, lines: bool) -> None:
    text = "Ünï cödé  is\r\nhéré, \n\n 日本語 too\rends"
    corpus = corpus_of(text, level=level, lines=lines, held_out=0)
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    whole = Vocabulary.fit([plain], level, newlines=not lines)
    assert corpus.vocabulary == whole
    found = whole.encode(plain).tolist()
    if lines:
        found = [
            a for a, b in zip(found, [EOS, *found], strict=False) if a != b or a != EOS
        ]
        found.append(EOS)
    assert corpus.train[:].tolist() == found


@given(st.lists(st.text(st.sampled_from("ab \n,"), max_size=4)))
def test_words_are_never_cut(chunks: list[str]) -> None:
    vocabulary = Vocabulary(["a", "b", ","], "word")
    found = [t for piece in whole_words(chunks) for t in vocabulary.split(piece)]
    assert found == vocabulary.split("".join(chunks))


def test_windows_line_ends_are_line_ends() -> None:
    assert decoded(corpus_of(b"ab\r\ncd\r\n", held_out=0))[0] == "ab\ncd\n"
    assert "\r" not in corpus_of(b"ab\r\ncd\r", lines=False).vocabulary.tokens


def test_other_encodings() -> None:
    text = "naïve\ncafé\n"
    for encoding in ("utf-8-sig", "utf-16", "latin-1"):
        data = text.encode(encoding)
        name = "utf-8" if encoding == "utf-8-sig" else encoding
        assert decoded(corpus_of(data, encoding=name, held_out=0))[0] == text


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no lines in it"),
        (b"\n\n\r\n", "no lines in it"),
        (b"abcdefg\xff\xfe", r"no text in utf-8: see byte 7;.* latin-1"),
        ("naïve".encode("latin-1"), r"see byte 2;"),
        (b"abcde\xc3", r"see byte 5;"),
        ("ab".encode("utf-16"), r"see byte 0;.* utf-16"),
        (b"\x7fELF\0\0", "there is a zero after byte 3"),
    ],
)
def test_what_is_no_text(data: bytes, message: str) -> None:
    with pytest.raises(FileFormatError, match=message):
        corpus_of(data)


def test_the_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes(b"\xff")
    with pytest.raises(FileFormatError, match=r"bad\.txt: it is no text in utf-8"):
        read_corpus(path)
    with pytest.raises(FileFormatError, match=r"^the text: it is no text"):
        read_corpus(io.BytesIO(b"\xff"))
    with pytest.raises(FileNotFoundError, match=r"none\.txt"):
        read_corpus(tmp_path / "none.txt")


@pytest.mark.parametrize("level", ["char", "word"])
def test_a_line_that_is_no_example(level: str) -> None:
    text = "short\n" + "long " * 12_000
    with pytest.raises(FileFormatError, match=r"more than 10,000 tokens.*lines=False"):
        corpus_of(text, level=level)
    assert len(corpus_of(text, level=level, lines=False).train) > 10_000


@pytest.mark.usefixtures("small_chunks")
def test_a_line_without_an_end_is_refused_before_it_is_read() -> None:
    told = io.BytesIO(b"short\n" + b"x" * 300_000)
    with pytest.raises(FileFormatError, match="more than 100,000 characters"):
        read_corpus(told)
    assert told.tell() < 101_000
    assert len(corpus_of(("y" * 99 + "\n") * 2000, held_out=0).train) == 200_000


def test_a_word_that_is_none() -> None:
    with pytest.raises(FileFormatError, match="a word has more than 100,000"):
        corpus_of("x" * 200_000, level="word", lines=False)


def test_a_vocabulary_that_is_given() -> None:
    vocabulary = Vocabulary.fit(["ab"])
    corpus = corpus_of("abc", vocabulary=vocabulary, held_out=0)
    assert corpus.vocabulary is vocabulary
    assert decoded(corpus)[0] == "ab<UNK>\n"


def test_a_newline_that_is_a_token_ends_no_line() -> None:
    vocabulary = Vocabulary.fit(["a\nb"], newlines=True)
    with pytest.raises(ArgumentError, match="read with lines=False"):
        read_corpus(io.BytesIO(b"a\nb\n"), vocabulary=vocabulary, held_out=0)
    read_corpus(io.BytesIO(b"a\nb\n"), vocabulary=vocabulary, lines=False, held_out=0)


def test_bad_arguments() -> None:
    with pytest.raises(ArgumentError, match="held_out"):
        corpus_of("a", held_out=1)
    for encoding in ("martian", "hex"):
        with pytest.raises(ArgumentError, match=f"unknown encoding '{encoding}'"):
            corpus_of("a", encoding=encoding)


def test_a_token_file_is_an_array() -> None:
    rng = np.random.default_rng(0)
    for size in (200, 60_000, 100_000):
        array = rng.integers(size, size=100)
        file = TokenFile(size)
        for part in np.split(array, [10, 10, 70]):
            file.append(part)
        first, second = file.split(30)
        assert len(file) == 100 and len(first) == 30 and len(second) == 70
        for part in (slice(None), slice(5, 50), slice(-7, None), slice(9, 3)):
            assert np.array_equal(file[part], array[part])
            assert np.array_equal(second[part], array[30:][part])
        assert file[:].dtype == np.int64


def test_standard_input_is_kept_to_be_read_again() -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    with rewindable(Pipe(b"ab\ncd\n")) as file:  # type: ignore[arg-type]
        assert decoded(read_corpus(file, held_out=0))[0] == "ab\ncd\n"


def test_of_a_file_that_was_begun_only_the_rest_is_read() -> None:
    """As after `read line` in a shell, before `python -m seq train -`."""
    begun = io.BytesIO(b"a title\nab\ncd\n")
    begun.readline()
    with rewindable(begun) as file:
        assert decoded(read_corpus(file, held_out=0))[0] == "ab\ncd\n"


def test_how_much_was_read_is_told() -> None:
    told: list[int] = []
    chunks: Iterator[str] = read_chunks(io.BytesIO(b"abc" * 10), tick=told.append)
    assert "".join(chunks) == "abc" * 10
    assert sum(told) == 30


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no such device")
def test_a_full_disk_is_named() -> None:
    """The file has no name: the directory says which disk it is."""
    file = TokenFile(5)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, file._file.number)
    os.close(full)
    with pytest.raises(OSError, match="No space left") as raised:
        file.append(np.arange(5))
    assert raised.value.filename == tempfile.gettempdir()
