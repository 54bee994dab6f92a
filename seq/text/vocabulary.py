"""Words or characters, and the numbers that stand for them."""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from itertools import repeat
from typing import Any, Self

import numpy as np

import minigrad as mg
from minigrad import Tensor
from minigrad.errors import ArgumentError, IndexRangeError
from seq.errors import FileFormatError
from seq.files import FilePath, write_whole
from seq.parameters import check_int

Array = np.ndarray[Any, Any]
PAD, EOS, UNK = 0, 1, 2
SPECIAL = ("<PAD>", "<EOS>", "<UNK>")
LEVELS = ("char", "word")

# What is written onto the letter before it: accents, vowel signs, joiners. \w has none.
_MARKS = "\u200c\u200d" + "".join(
    c for c in map(chr, range(0x300, 0x1F000)) if unicodedata.category(c)[0] == "M"
)
# So large a class is searched slowly, and after most words and signs there is a space.
_MARK = rf"(?:(?![\x00-\u02ff])[{_MARKS}])"
_LETTERS = rf"\w+(?:{_MARK}+\w*)*"
# A run of blank lines, a word (with apostrophes inside), or a sign. Spaces before a
# newline are skipped as others are: to look for it from each would take their square.
_WORD = re.compile(rf"\n\s*|{_LETTERS}(?:['\u2019]{_LETTERS})*|[^\w\s]{_MARK}*")
_NO_SPACE = re.compile(r" (?=[.,;:!?%)\]}…])|(?<=[(\[{]) |(?<=\n) | (?=\n)")


class Vocabulary:
    """Tokens with a number each: <PAD> 0, <EOS> 1, <UNK> 2, then `tokens` in order.

    level: "char" or "word". In the notes a word of a sentence is x⟨t⟩, the one-hot
    vector that is 1 at the word's number; x(i)⟨t⟩ is that of example i, which has T_x
    of them. A token that isn't there stands as <UNK>. A newline stands for <EOS>, the
    end of a sentence, unless it is a token itself. Raises ArgumentError for another
    level, and for tokens that are given twice.

    >>> words = Vocabulary.fit(["the cat sat", "the cat ran"], "word", min_count=2)
    >>> words.tokens
    ('cat', 'the')
    >>> words.encode("the dog sat\\n")
    array([4, 2, 2, 1])
    >>> words.decode([4, 3, 1])
    'the cat\\n'
    """

    def __init__(self, tokens: Iterable[str], level: str = "char") -> None:
        if level not in LEVELS:
            raise ArgumentError(f"level must be 'char' or 'word', got {level!r}")
        self.tokens = tuple(tokens)
        self.level = level
        all_tokens = (*SPECIAL, *self.tokens)
        self._index = {token: i for i, token in enumerate(all_tokens)}
        if len(self._index) < len(all_tokens):
            raise ArgumentError(
                "a token is given twice, or is one of <PAD> <EOS> <UNK>"
            )
        self._index.setdefault("\n", EOS)
        self._texts = ("", "\n", *all_tokens[2:])

    @classmethod
    def fit(
        cls,
        texts: Iterable[str],
        level: str = "char",
        *,
        min_count: int = 1,
        max_size: int | None = None,
        newlines: bool = False,
    ) -> Self:
        """The tokens of texts, the most frequent ones first, then by the alphabet.

        min_count: how often a token must be there; max_size: how many tokens there may
        be, <PAD>, <EOS> and <UNK> not counted. newlines: whether a newline is a
        character as any other; if not, it is <EOS>.
        """
        check_int("min_count", min_count, 1)
        if max_size is not None:
            check_int("max_size", max_size, 1)
        splitter = cls((), level)
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(text if level == "char" else splitter.split(text))
        if not (newlines and level == "char"):
            counts.pop("\n", None)
        found = sorted((-n, token) for token, n in counts.items() if n >= min_count)
        return cls([token for _, token in found[:max_size]], level)

    def __len__(self) -> int:
        return len(self._texts)

    def __contains__(self, token: str) -> bool:
        return token in self._index

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Vocabulary):
            return NotImplemented
        return (self.level, self.tokens) == (other.level, other.tokens)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} tokens, level={self.level!r})"

    def split(self, text: str) -> list[str]:
        """The tokens of a text; a run of blank lines is one "\\n" between words."""
        if self.level == "char":
            return list(text)
        return ["\n" if "\n" in found else found for found in _WORD.findall(text)]

    def encode(self, text: str) -> Array:
        """The numbers of a text's tokens: int64 (T,)."""
        tokens = text if self.level == "char" else self.split(text)
        numbers = map(self._index.get, tokens, repeat(UNK))
        return np.fromiter(numbers, np.int64, len(tokens))

    def decode(self, numbers: Iterable[int]) -> str:
        """The text of numbers; <EOS> is a newline, <PAD> nothing.

        Between words there is a space, but none before a full stop and the like. Raises
        IndexRangeError for a number that stands for no token.
        """
        found = [int(n) for n in numbers]
        if bad := [n for n in found if not 0 <= n < len(self)]:
            raise IndexRangeError(
                f"{bad[0]} stands for no token; there are {len(self)}, from 0 on"
            )
        texts = [self._texts[n] for n in found if n != PAD]
        if self.level == "char":
            return "".join(texts)
        return _NO_SPACE.sub("", " ".join(texts))

    def one_hot(self, numbers: Any) -> Tensor:
        """x⟨t⟩ of each number: float32 (..., len(self)), 1 at the number, else 0.

        <PAD> is a vector of zeros, as x⟨1⟩ of a language model is.
        """
        rows = np.eye(len(self), dtype=np.float32)
        rows[PAD] = 0
        vectors: Tensor = mg.embedding(mg.tensor(np.asarray(numbers)), mg.tensor(rows))
        return vectors

    def save(self, path: FilePath) -> None:
        """Write it as JSON, whole or not at all. Raises OSError."""
        text = json.dumps(self.to_json(), ensure_ascii=False, indent=1)
        # Half of a surrogate pair has no bytes; its escape is JSON's, too.
        write_whole(path, text.encode("utf-8", "backslashreplace"))

    @classmethod
    def load(cls, path: FilePath) -> Self:
        """Read what `save` wrote. Raises OSError, or FileFormatError."""
        with open(path, "rb") as file:
            data = file.read()
        try:
            return cls.from_json(json.loads(data.decode("utf-8")))
        except (RecursionError, ValueError) as error:
            raise FileFormatError(f"{path} holds no vocabulary: {error}") from error

    def to_json(self) -> dict[str, Any]:
        """What `from_json` takes, made of what JSON can hold."""
        return {"level": self.level, "tokens": list(self.tokens)}

    @classmethod
    def from_json(cls, found: Any) -> Self:
        """The vocabulary that `to_json` described. Raises ArgumentError."""
        match found:
            case {"level": str(level), "tokens": list(tokens)} if all(
                isinstance(token, str) for token in tokens
            ):
                return cls(tokens, level)
        raise ArgumentError("expected an object with a level and a list of tokens")
