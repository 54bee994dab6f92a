"""Text files of any size: read chunk by chunk, and encoded into a file of numbers."""

import codecs
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, BinaryIO, NamedTuple, Protocol, Self

import numpy as np

from minigrad.errors import ArgumentError
from seq.errors import FileFormatError, located
from seq.files import FilePath
from seq.text.vocabulary import EOS, Vocabulary
from seq.training.progress import bar

Array = np.ndarray[Any, Any]
CHUNK = 1 << 20  # bytes
LONGEST_LINE = 10_000  # tokens
LONGEST_WORD = 100_000  # characters, and also those of a line
ONE_TEXT = (
    "and each line is an example; if it is one running text, read it as one: "
    "lines=False, or --text"
)


class Tokens(Protocol):
    """Numbers of tokens: an int64 array, or a `TokenFile`."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> Array: ...


class TokenFile:
    """Numbers of tokens in a temporary file, which goes when the object goes.

    A slice is an int64 array, read when it is asked for. The file is where the system
    has its temporary files (TMPDIR), with 1, 2 or 4 bytes a token.
    """

    def __init__(self, n_tokens: int) -> None:
        self._dtype = np.min_scalar_type(n_tokens)
        self._file = _Unnamed()
        self._start = self._stop = 0

    def __len__(self) -> int:
        return self._stop - self._start

    def __getitem__(self, part: slice) -> Array:
        start, stop, step = part.indices(len(self))
        size, place = self._dtype.itemsize, self._start + start
        n_bytes = max(0, stop - start) * size
        data = os.pread(self._file.number, n_bytes, place * size)
        if len(data) < n_bytes:
            raise OSError(f"only {len(data):,} of {n_bytes:,} bytes could be read")
        return np.frombuffer(data, self._dtype)[::step].astype(np.int64)

    def append(self, numbers: Array) -> None:
        """Put more numbers at the end."""
        try:
            with open(self._file.number, "ab", closefd=False) as file:
                file.write(numbers.astype(self._dtype).tobytes())
        except OSError as error:
            error.filename = tempfile.gettempdir()  # it has no name of its own
            raise
        self._stop += len(numbers)

    def split(self, n: int) -> tuple[Self, Self]:
        """The first n tokens and the others, in the same file."""
        first, second = (self._copy() for _ in range(2))
        first._stop = second._start = self._start + n
        return first, second

    def _copy(self) -> Self:
        made = object.__new__(type(self))
        vars(made).update(vars(self))
        return made


class _Unnamed:
    """The number of an open file without a name, closed when nobody holds it."""

    def __init__(self) -> None:
        with tempfile.TemporaryFile() as file:
            self.number = os.dup(file.fileno())

    def __del__(self) -> None:
        os.close(self.number)


class Corpus(NamedTuple):
    """A text that was read: its vocabulary, and its tokens in two parts.

    lines: whether each line is an example of its own, that ends with <EOS>; otherwise
    each part is one running text.
    """

    vocabulary: Vocabulary
    train: TokenFile
    held_out: TokenFile
    lines: bool


def read_corpus(
    source: FilePath | BinaryIO,
    level: str = "char",
    *,
    lines: bool = True,
    held_out: float = 0.1,
    min_count: int = 1,
    max_size: int | None = None,
    vocabulary: Vocabulary | None = None,
    encoding: str = "utf-8",
    seed: int = 0,
    progress: bool | None = None,
) -> Corpus:
    """Read a text file of any size, in the memory of a small one.

    source: a path, or a binary file that can be read twice (`rewindable` makes one of
    standard input). lines: each line is an example, empty ones aside, and held_out is
    the share of them, drawn with the seed, that is kept apart; otherwise the file is
    one text, and held_out its last part. The vocabulary is that of the whole file,
    unless it is given: what it counts, level, min_count and max_size, is then ignored.

    Raises OSError, FileFormatError for what is no text in this encoding or too little
    of it, and for a line of more than 10,000 tokens; ArgumentError for bad arguments.
    """
    if not 0 <= held_out < 1:
        raise ArgumentError(f"held_out must be in [0, 1), got {held_out!r}")
    if lines and vocabulary is not None and "\n" in vocabulary.tokens:
        raise ArgumentError(
            "to a vocabulary in which a newline is a token no line ends: it is that of "
            "a running text, read with lines=False; give another, or none"
        )
    level = vocabulary.level if vocabulary else level
    name = getattr(source, "name", source)
    name = name if isinstance(name, str | os.PathLike) else "the text"

    def chunks(what: str) -> Iterator[str]:
        with _read(source, what, progress) as (file, tick):
            text = read_chunks(file, encoding, tick)
            text = _short_lines(text) if lines else text
            yield from whole_words(text) if level == "word" else text

    with located(str(name)):
        if vocabulary is None:
            vocabulary = Vocabulary.fit(
                chunks("counting"),
                level,
                min_count=min_count,
                max_size=max_size,
                newlines=not lines,
            )
        encoded = map(vocabulary.encode, chunks("encoding"))
        parts = (TokenFile(len(vocabulary)), TokenFile(len(vocabulary)))
        if lines:
            _share_out(_whole_lines(encoded), parts, held_out, seed)
        else:
            for numbers in encoded:
                parts[0].append(numbers)
            parts = parts[0].split(round(len(parts[0]) * (1 - held_out)))
        if not len(parts[0]):
            nothing = "are no lines" if lines else "is no text"
            rest = " to learn from" if len(parts[1]) else ""  # all of it is held out
            raise FileFormatError(f"there {nothing} in it{rest}")
    return Corpus(vocabulary, *parts, lines)


def read_chunks(
    file: BinaryIO, encoding: str = "utf-8", tick: Callable[[int], Any] = int
) -> Iterator[str]:
    """The text of a file, about a megabyte at a time; every line ends with "\\n" alone.

    tick is called with the number of bytes of each chunk. Raises FileFormatError, with
    the place in the file, for what is no text in this encoding, and ArgumentError for
    no encoding.
    """
    try:
        "".encode(encoding)
    except (LookupError, UnicodeError) as error:  # as "undefined" is, which is a codec
        raise ArgumentError(f"unknown encoding {encoding!r}") from error
    name = "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding
    decoder = codecs.getincrementaldecoder(name)()
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    place, data = 0, b" "
    while data:
        data = file.read(CHUNK)
        try:
            text = decoder.decode(data, not data)
        except UnicodeError as error:
            # What was kept of the chunk before stands in front of this one.
            kept = len(getattr(error, "object", data)) - len(data)
            where = place - kept + getattr(error, "start", 0)
            raise FileFormatError(
                f"it is no text in {encoding}: see byte {where:,}; if it is in "
                "another encoding, name it, such as utf-16 or latin-1"
            ) from error
        if "\0" in text:
            raise FileFormatError(
                f"it is no text in {encoding}: there is a zero after byte {place:,}"
            )
        place += len(data)
        tick(len(data))
        yield newlines.decode(text, not data)


def whole_words(chunks: Iterable[str]) -> Iterator[str]:
    """The same text in chunks that end where a word ends.

    Raises FileFormatError for a word of more than 100,000 characters.
    """
    rest = ""
    for chunk in chunks:
        text = rest + chunk
        cut = _last_gap(text)
        yield text[:cut]
        rest = text[cut:]
        if len(rest.lstrip()) > LONGEST_WORD:
            raise FileFormatError(
                f"a word has more than {LONGEST_WORD:,} characters; if it is not made "
                "of words between spaces, read it at the level char"
            )
    yield rest


@contextmanager
def rewindable(file: BinaryIO) -> Iterator[BinaryIO]:
    """What is left of a file, to be read twice: a copy, if that takes one.

    Standard input may not be seekable, or, if it is, may have been read in part.
    """
    if file.seekable() and file.tell() == 0:
        yield file
        return
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(file, copy)
        copy.seek(0)
        yield copy


@contextmanager
def _read(
    source: Any, what: str, progress: bool | None
) -> Iterator[tuple[BinaryIO, Callable[[int], Any]]]:
    """The file from its start, and what shows how much of it was read."""
    given = hasattr(source, "read")
    with nullcontext(source) if given else open(source, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        # Only what takes a while is worth a bar.
        shown = bar(progress, total=size, desc=what, unit="B", unit_scale=True, delay=2)
        try:
            yield file, int if shown is None else shown.update
        finally:
            if shown is not None:
                shown.close()


def _last_gap(text: str) -> int:
    """Where the last run of spaces begins: what stands before it is whole words."""
    end = len(text.rstrip())
    if end < len(text):
        return end
    before, *last = text.rsplit(None, 1) or [""]
    return len(before) if last else 0


def _short_lines(chunks: Iterable[str]) -> Iterator[str]:
    """The same text, refused as soon as a line in it is far too long."""
    length = 0
    for chunk in chunks:
        first, *others = map(len, chunk.split("\n"))
        if max(length + first, *others, 0) > LONGEST_WORD:
            raise FileFormatError(
                f"a line has more than {LONGEST_WORD:,} characters, {ONE_TEXT}"
            )
        length = others[-1] if others else length + first
        yield chunk


def _whole_lines(encoded: Iterable[Array]) -> Iterator[Array]:
    """The same tokens in arrays that end where a line ends; the last one is ended."""
    rest = np.empty(0, np.int64)
    for numbers in encoded:
        numbers = np.concatenate([rest, numbers])
        ends = np.flatnonzero(numbers == EOS) + 1
        cut = ends[-1] if len(ends) else 0
        longest = np.diff(ends, prepend=0, append=len(numbers)).max(initial=0)
        if longest > LONGEST_LINE:
            raise FileFormatError(
                f"a line has more than {LONGEST_LINE:,} tokens, {ONE_TEXT}"
            )
        yield numbers[:cut]
        rest = numbers[cut:]
    if len(rest):
        yield np.append(rest, EOS)


def _share_out(
    whole_lines: Iterable[Array],
    parts: tuple[TokenFile, TokenFile],
    share: float,
    seed: int,
) -> None:
    """Put each line that isn't empty into the second part with this probability."""
    rng = np.random.default_rng(seed)
    for numbers in whole_lines:
        lengths = np.diff(np.flatnonzero(numbers == EOS), prepend=-1)
        part = np.where(lengths == 1, 2, rng.random(len(lengths)) < share)
        of_token = np.repeat(part, lengths)
        for i, file in enumerate(parts):
            file.append(numbers[of_token == i])
