"""Batches of sequences: of like lengths, seeded, from files that needn't fit in memory.

Time is the first axis, as everywhere in `seq`, and counts from 0: x⟨t⟩ of the notes is
x[t - 1], and x(i)⟨t⟩, that of example i, is x[t - 1, i - 1]. T_x, the length of an
input, is an entry of `lengths`.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from minigrad import Tensor
from minigrad.errors import ArgumentError
from seq.parameters import check_int
from seq.text.corpus import Tokens
from seq.text.vocabulary import EOS, PAD

Array = np.ndarray[Any, Any]
BLOCK = 1 << 20  # tokens that are in memory at a time


class TextBatch(NamedTuple):
    """What a language model reads and predicts: int64 (T, B) each, padded with <PAD>.

    targets[t - 1] is y⟨t⟩; inputs[t - 1] is x⟨t⟩ = y⟨t-1⟩, and <PAD>, a vector of
    zeros, where nothing comes before. lengths: of each example, None if all are T.
    """

    inputs: Tensor
    targets: Tensor
    lengths: Array | None = None


class Examples:
    """Batches of a list of examples, those of like length together.

    collate makes a batch of a list of examples; size is what they are sorted by. The
    order is drawn anew for each epoch, from the seed.

    >>> words = ["a", "bc", "d", "efg"]
    >>> batches = Examples(words, 2, collate=" ".join, seed=1)
    >>> list(batches.epoch(0)), list(batches.epoch(1))
    (['a d', 'bc efg'], ['d a', 'bc efg'])
    """

    def __init__(
        self,
        examples: Sequence[Any],
        batch_size: int,
        *,
        collate: Callable[[list[Any]], Any] = list,
        size: Callable[[Any], int] = len,
        seed: int = 0,
    ) -> None:
        check_int("batch_size", batch_size, 1)
        if not len(examples):
            raise ArgumentError("there are no examples to make batches of")
        self.examples, self.batch_size, self.collate = examples, batch_size, collate
        self.sizes = np.array([size(example) for example in examples])
        self.seed = seed

    def __len__(self) -> int:
        return -(-len(self.examples) // self.batch_size)

    def epoch(self, number: int, start: int = 0) -> Iterator[Any]:
        """See `seq.training.Batches`."""
        rng = np.random.default_rng((self.seed, number))
        for chosen in by_length(self.sizes, self.batch_size, rng)[start:]:
            yield self.collate([self.examples[i] for i in chosen])


class Lines:
    """Batches of lines, each an example that ends with <EOS>, for `LanguageModel.loss`.

    tokens: an array, or the part of a corpus. Blocks of about a million tokens are read
    in a random order; within a block, lines of like length come together. Raises
    ArgumentError for no lines, and for a last one without its <EOS>.
    """

    def __init__(self, tokens: Tokens, batch_size: int, *, seed: int = 0) -> None:
        check_int("batch_size", batch_size, 1)
        self.tokens, self.batch_size, self.seed = tokens, batch_size, seed
        self._bounds, self._n_batches = _find_blocks(tokens, batch_size)
        if not len(self):
            raise ArgumentError("there are no lines to make batches of")
        if tokens[len(tokens) - 1 :][0] != EOS:
            raise ArgumentError(
                f"lines end with <EOS>, which is {EOS}; the last one here does not: "
                "add it, or give a running text to Windows"
            )

    def __len__(self) -> int:
        return sum(self._n_batches)

    def epoch(self, number: int, start: int = 0) -> Iterator[TextBatch]:
        """See `seq.training.Batches`."""
        order = np.random.default_rng((self.seed, number))
        for block in order.permutation(len(self._n_batches)):
            if start >= self._n_batches[block]:
                start -= self._n_batches[block]
                continue
            part = self.tokens[self._bounds[block] : self._bounds[block + 1]]
            lines = split_lines(part)
            rng = np.random.default_rng((self.seed, number, int(block)))
            lengths = np.array([len(line) for line in lines])
            for batch in by_length(lengths, self.batch_size, rng)[start:]:
                yield text_batch([lines[i] for i in batch])
            start = 0


class Windows:
    """A running text in windows, for truncated backpropagation with a carried state.

    The text is cut into batch_size parts of equal length, which are read side by side,
    `window` tokens at a time: the state that a batch ends with is the one that the next
    begins with (`fit(..., carry=True)`). Every token is a target once in an epoch, but
    for fewer than batch_size at the end.
    """

    def __init__(self, tokens: Tokens, batch_size: int, window: int) -> None:
        check_int("batch_size", batch_size, 1)
        check_int("window", window, 1)
        self.tokens, self.batch_size, self.window = tokens, batch_size, window
        self._length = len(tokens) // batch_size
        if not self._length:
            raise ArgumentError(
                f"{len(tokens)} tokens are too few for batch_size={batch_size}"
            )

    def __len__(self) -> int:
        return -(-self._length // self.window)

    def epoch(self, number: int, start: int = 0) -> Iterator[TextBatch]:
        """See `seq.training.Batches`; the order is that of the text, every time."""
        firsts = range(0, self.batch_size * self._length, self._length)
        for begin in range(start * self.window, self._length, self.window):
            end = min(begin + self.window, self._length)
            before = 1 if begin else 0
            rows = [self.tokens[i + begin - before : i + end] for i in firsts]
            found = np.stack(rows, axis=1)
            if not before:
                found = np.concatenate([np.full_like(found[:1], PAD), found])
            yield TextBatch(mg.tensor(found[:-1]), mg.tensor(found[1:]))


def text_batch(lines: Sequence[Array]) -> TextBatch:
    """What a language model takes of lines: each shifted by one, and padded.

    >>> batch = text_batch([np.array([5, 4, 1]), np.array([3, 1])])
    >>> batch.inputs.T.tolist(), batch.targets.T.tolist(), batch.lengths.tolist()
    ([[0, 5, 4], [0, 3, 0]], [[5, 4, 1], [3, 1, 0]], [3, 2])
    """
    targets, lengths = pad(lines)
    first = np.full_like(targets[:1], PAD)
    inputs = np.concatenate([first, targets[:-1]])
    inputs[np.arange(len(inputs))[:, None] >= lengths] = PAD
    same = (lengths == len(targets)).all()
    return TextBatch(mg.tensor(inputs), mg.tensor(targets), None if same else lengths)


def split_lines(tokens: Array) -> list[Array]:
    """The lines of tokens that end with <EOS>, each with its own."""
    return np.split(tokens, np.flatnonzero(tokens == EOS)[:-1] + 1)


def line_blocks(tokens: Tokens) -> Iterator[list[Array]]:
    """All lines in order, of about a million tokens at a time."""
    bounds, _ = _find_blocks(tokens, 1)
    for begin, end in pairwise(bounds):
        yield split_lines(tokens[begin:end])


def pad(sequences: Sequence[Any], value: Any = PAD) -> tuple[Array, Array]:
    """Sequences (T_x, ...) as one array (T, B, ...), filled up, and their lengths.

    >>> padded, lengths = pad([[1, 2, 3], [4]])
    >>> padded.tolist(), lengths.tolist()
    ([[1, 4], [2, 0], [3, 0]], [3, 1])
    """
    if not len(sequences):
        raise ArgumentError("there are no sequences to pad")
    arrays = [np.asarray(sequence) for sequence in sequences]
    lengths = np.array([len(array) for array in arrays])
    shape = (lengths.max(), len(arrays), *arrays[0].shape[1:])
    padded = np.full(shape, value, common_dtype(arrays))
    for i, array in enumerate(arrays):
        padded[: len(array), i] = array
    return padded, lengths


def common_dtype(arrays: Sequence[Array]) -> np.dtype[Any]:
    """The dtype of all of them; an empty list, which numpy makes floats of, has none.

    >>> common_dtype([np.array([]), np.array([1, 2])])
    dtype('int64')
    """
    return np.result_type(*([a for a in arrays if a.size] or arrays))


def by_length(lengths: Array, batch_size: int, rng: np.random.Generator) -> list[Array]:
    """The indices of each batch: of like lengths, in a random order.

    Examples of one length are shuffled before they are cut into batches.
    """
    shuffled = rng.permutation(len(lengths))
    ordered = shuffled[np.argsort(lengths[shuffled], kind="stable")]
    batches = np.split(ordered, range(batch_size, len(ordered), batch_size))
    return [batches[i] for i in rng.permutation(len(batches))]


def _find_blocks(tokens: Tokens, batch_size: int) -> tuple[list[int], list[int]]:
    """Where the blocks of whole lines are cut, and how many batches each makes."""
    bounds, n_batches = [0], []
    for begin in range(0, len(tokens), BLOCK):
        ends = np.flatnonzero(tokens[begin : begin + BLOCK] == EOS)
        if len(ends):
            bounds.append(begin + int(ends[-1]) + 1)
            n_batches.append(-(-len(ends) // batch_size))
    return bounds, n_batches
