"""A language model: what comes next, given all that came before."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike

import minigrad as mg
from minigrad import Tensor, nn, rng
from minigrad.errors import ArgumentError, ShapeError
from minigrad.nn.forward_hooks import is_as_made
from minigrad.nn.layers import linear
from minigrad.ops import checked_dtype
from seq.again import Around, call_within
from seq.boundary import Lengths, State, as_tensor
from seq.cell import Cell
from seq.errors import FileFormatError
from seq.files import Arrays, FilePath, read_arrays, write_arrays
from seq.recurrent import Recurrent
from seq.text.batches import TextBatch, text_batch
from seq.text.vocabulary import EOS, PAD, Vocabulary
from seq.training.loss import Loss, evaluating

KEY = "minigrad.language_model"
MOST_ONE_HOT = 1 << 30  # bytes


class LanguageModel(nn.Module):
    """P(y⟨t⟩ | y⟨1⟩, ..., y⟨t-1⟩) for every t, by any cell, of characters or words.

    x⟨1⟩ and a⟨0⟩ are vectors of zeros, x⟨t⟩ = y⟨t-1⟩, a⟨t⟩ is what the cell makes of
    x⟨t⟩ and a⟨t-1⟩, and ŷ⟨t⟩ = softmax(W_y a⟨t⟩ + b_y) is the distribution of y⟨t⟩.

    cell: the name of a built-in one (a key of `seq.CELLS`), or a Cell of your own that
    takes no data at its calls. embedding_size: x⟨t⟩ is a row of a learned table, which
    is what one-hot vectors times that table are; None: the one-hot vectors themselves.
    dropout acts on the output of every layer. lines: whether it was made for lines that
    end with <EOS>; kept for who samples. Raises ArgumentError for bad arguments.

    >>> vocabulary = Vocabulary.fit(["ada", "bob"])
    >>> model = LanguageModel(vocabulary, "gru", 8, generator=0)
    >>> scores, state = model(vocabulary.encode("ad"))
    >>> scores.shape, state.shape
    ((2, 6), (1, 8))
    """

    _one_hot: Tensor

    def __init__(
        self,
        vocabulary: Vocabulary,
        cell: str | Cell = "lstm",
        hidden_size: int = 128,
        num_layers: int = 1,
        embedding_size: int | None = None,
        dropout: float = 0.0,
        *,
        lines: bool = True,
        dtype: DTypeLike = mg.float32,
        generator: rng.Seed = None,
    ) -> None:
        cell, dtype = cell_named(cell), checked_dtype(dtype)
        self.vocabulary = vocabulary
        self.lines = lines
        self.generator = None if generator is None else rng.generator(generator)
        size = len(vocabulary)
        if embedding_size is None:
            self.embedding = None
            self.register_buffer("_one_hot", _one_hot(size, dtype), persistent=False)
        else:
            self.embedding = nn.Embedding(
                size, embedding_size, PAD, dtype=dtype, generator=self.generator
            )
        self.recurrent = Recurrent(
            cell,
            embedding_size or size,
            hidden_size,
            num_layers,
            dropout=dropout if num_layers > 1 else 0.0,
            dtype=dtype,
            generator=self.generator,
        )
        self.dropout = nn.Dropout(dropout)
        out = cell.output_size(self.recurrent.places[f"_l{num_layers - 1}"], dtype)
        self.head = nn.Linear(out, size - 1, dtype=dtype, generator=self.generator)

    @property
    def vectors(self) -> Tensor:
        """x of each token: (len(vocabulary), size); that of <PAD> is zeros."""
        if self.embedding is not None:
            return self.embedding.weight
        vectors = self._one_hot
        if isinstance(self.recurrent, Recurrent):  # it may have been cast by itself
            dtype = self.recurrent.parameter_dtype()
            if vectors.dtype != dtype:
                self._one_hot = vectors = vectors.to(dtype)
        return vectors

    def forward(
        self, inputs: Any, state: State | None = None, lengths: Lengths | None = None
    ) -> tuple[Tensor, State]:
        """From x⟨t⟩ as numbers (T, B) to scores of y⟨t⟩, (T, B, len(vocabulary) - 1).

        Their softmax is ŷ⟨t⟩: that at i is of token i + 1, as <PAD>, which is 0, is
        never what comes next. state: a⟨0⟩, zeros if it isn't given; that after the last
        step is returned too. There is no B in what is given and returned for one text.
        """
        numbers = as_tensor("inputs", inputs)
        if self.embedding is None:
            x = mg.embedding(numbers, self.vectors, PAD)
        else:
            x = self.embedding(numbers)
        output, state = self.recurrent(x, state, lengths=lengths)
        if self.dropout.p:
            output = self.dropout(output, generator=self.generator)
        return self.head(output), state

    def token_losses(
        self, batch: TextBatch, state: State | None = None
    ) -> tuple[Tensor, State]:
        """-log P(y⟨t⟩ | what came before) of every target, (T, B); the last state.

        All other losses are sums of these. 0 at padding.
        """
        batch = _checked(batch)
        if self._is_as_made(batch):
            return self._in_one_op(_run_losses, batch, state)
        scores, state = self(batch.inputs, state, batch.lengths)
        return _losses(scores, batch.targets), state

    def loss(self, batch: TextBatch, state: State | None = None) -> Loss:
        """L = Σ_t L⟨t⟩, summed over the batch too, and the number of tokens."""
        batch = _checked(batch)
        if self._is_as_made(batch):
            total, state = self._in_one_op(_run_total, batch, state)
        else:
            losses, state = self.token_losses(batch, state)
            total = losses.sum()
        n = batch.targets.numel() if batch.lengths is None else np.sum(batch.lengths)
        return Loss(total, int(n), state)

    def _is_as_made(self, batch: TextBatch) -> bool:
        """Whether a call is `_run_losses`: nothing is random, hooked or replaced."""
        return (
            batch.inputs.ndim == batch.targets.ndim == 2
            and not (self.dropout.p and self.dropout.training)
            and "token_losses" not in self.__dict__
            and self.is_plain()
        )

    def is_plain(self) -> bool:
        """Whether the scores are W_y a⟨t⟩ + b_y: nothing is hooked or replaced."""
        return (
            is_as_made(self, LanguageModel)
            and (self.embedding is None or _is_table(self.embedding))
            and is_as_made(self.dropout, nn.Dropout)
            and is_as_made(self.recurrent, Recurrent)
            and is_as_made(self.head, nn.Linear)
            and self.head.bias is not None
        )

    def _in_one_op(
        self, run: Any, batch: TextBatch, state: State | None
    ) -> tuple[Tensor, State]:
        """`run` on a batch; what is like the last call is one op, see `seq.again`."""
        around = Around(run, (self.vectors, self.head.weight, self.head.bias))
        inputs = batch.inputs, batch.targets
        return call_within(self.recurrent, around, inputs, state, batch.lengths)

    def log_probability(self, text: str) -> float:
        """log P(y⟨1⟩, ..., y⟨T_y⟩) of a text: the sum of the logs of its parts.

        P(y⟨1⟩, ..., y⟨T_y⟩) = Π_t P(y⟨t⟩ | y⟨1⟩, ..., y⟨t-1⟩). <EOS> is a part of it
        if the model is one of lines. Raises ArgumentError for an empty text, if there
        is no <EOS> either.
        """
        numbers = self.vocabulary.encode(text)
        if self.lines:
            numbers = np.append(numbers, EOS)
        if not len(numbers):
            raise ArgumentError("an empty text has no parts to take the probability of")
        return float(self.log_probabilities(text_batch([numbers]))[0])

    def log_probabilities(self, batch: TextBatch) -> Any:
        """The same of every example in a batch: an array (B,)."""
        with evaluating(self):
            losses, _ = self.token_losses(batch)
        return -losses.sum(0).numpy()

    def save(self, path: FilePath) -> None:
        """Write the model, its vocabulary and its sizes as one safetensors file.

        Raises MissingExtraError without safetensors, OSError, and ArgumentError if
        parts were replaced by some that `load` would not make.
        """
        self._check_parts()
        arrays = {name: p.numpy() for name, p in self.state_dict().items()}
        write_arrays(path, arrays, {KEY: json.dumps(self._description())})

    @classmethod
    def load(cls, path: FilePath, cell: Cell | None = None) -> Self:
        """The model of a file that `save` wrote; nothing in the file is ever run.

        cell: the model's, if it is one of your own. Raises FileFormatError for another
        file and for NaN or infinity in it, ArgumentError if the cell is not the
        model's, MissingExtraError and OSError.
        """
        arrays, metadata = read_arrays(path)
        if KEY not in metadata:
            raise FileFormatError(
                f"{path} holds no language model; give a file of LanguageModel.save or "
                "of `python -m seq train`, not that of a run"
            )
        with _described(path):
            found = json.loads(metadata[KEY])
            found["vocabulary"] = Vocabulary.from_json(found["vocabulary"])
            found["dtype"] = np.dtype(found["dtype"])
            own = found.pop("own_cell", None)  # older files don't say
            name = found["cell"]
            _check_sizes(found, arrays)
        for weight, array in arrays.items():
            if not np.isfinite(array).all():
                raise FileFormatError(
                    f"{path}: its {weight} holds NaN or infinity; training must have "
                    "diverged: train again, with a smaller learning rate or clipping"
                )
        if cell is not None or own:
            found["cell"] = _same_cell(path, cell, name, own)
        with _described(path):
            model = cls(**found)
            model.load_state_dict(arrays)
        return model.eval()

    def _check_parts(self) -> None:
        """Refuse what a file that has sizes and weights alone could not tell."""
        layer, head, table = self.recurrent, self.head, self.embedding
        if not (
            isinstance(layer, Recurrent)
            and layer.bias
            and not layer.bidirectional
            and not layer.proj_size
            and isinstance(head, nn.Linear)
            and head.bias is not None
            and (table is None or isinstance(table, nn.Embedding))
        ):
            raise ArgumentError(
                "save writes models whose parts are as LanguageModel makes them, and "
                "here one is of another kind; seq.training.checkpoint.save(path, "
                "model.state_dict()) keeps the weights of any"
            )

    def _description(self) -> dict[str, Any]:
        """The arguments of __init__ and own_cell, made of what JSON can hold."""
        layer = self.recurrent
        return {
            "vocabulary": self.vocabulary.to_json(),
            "cell": layer.cell.name,
            "own_cell": _is_own(layer.cell),
            "hidden_size": layer.hidden_size,
            "num_layers": layer.num_layers,
            "embedding_size": self.embedding and self.embedding.embedding_dim,
            "dropout": self.dropout.p,
            "lines": self.lines,
            "dtype": str(self.head.weight.dtype),
        }


def _is_table(embedding: nn.Embedding) -> bool:
    """Whether its rows are looked up, and nothing else is done."""
    return is_as_made(embedding, nn.Embedding) and embedding.padding_idx == PAD


def _one_hot(size: int, dtype: DTypeLike) -> Tensor:
    """The vectors of so many tokens; ArgumentError if they would take too much."""
    n_bytes = size * size * np.dtype(dtype).itemsize
    if n_bytes > MOST_ONE_HOT:
        raise ArgumentError(
            f"one-hot vectors of {size:,} tokens would take {n_bytes / 1e9:.1f} GB; "
            "give an embedding_size (--embedding), or have fewer tokens"
        )
    rows = np.eye(size, dtype=dtype)
    rows[PAD] = 0
    return mg.from_dlpack(rows)  # no copy: nobody else has it


def _run_losses(layer: Any, inputs: Tensor, targets: Tensor, *weights: Tensor) -> Any:
    """What `token_losses` returns, from a layer that is called on x."""
    vectors, *head = weights
    output, state = layer(mg.embedding(inputs, vectors, PAD))
    return _losses(linear(output, *head), targets), state


def _run_total(*args: Any) -> Any:
    """The losses summed, and the state."""
    losses, state = _run_losses(*args)
    return losses.sum(), state


def _checked(batch: TextBatch) -> TextBatch:
    """The batch as Tensors, with a target for every input."""
    inputs = as_tensor("inputs", batch.inputs)
    targets = as_tensor("targets", batch.targets)
    if inputs.shape != targets.shape:
        raise ShapeError(
            f"targets must have the shape of inputs, {inputs.shape}, got "
            f"{targets.shape}"
        )
    return TextBatch(inputs, targets, batch.lengths)


def _losses(scores: Tensor, targets: Tensor) -> Tensor:
    """The one definition of the loss, (T, B)."""
    classes = targets - 1
    losses = mg.cross_entropy(
        scores.reshape(-1, scores.shape[-1]),
        classes.reshape(-1),
        ignore_index=PAD - 1,
        reduction="none",
    )
    return losses.reshape(classes.shape)


@contextmanager
def _described(path: FilePath) -> Iterator[None]:
    """Say of what goes wrong that the file holds no model, whatever it is."""
    try:
        yield
    except (KeyError, TypeError, ValueError, RuntimeError, MemoryError) as error:
        raise FileFormatError(f"{path} holds no language model: {error}") from error


def _check_sizes(found: dict[str, Any], arrays: Arrays) -> None:
    """Refuse sizes that the weights can't have, before memory is taken for them."""
    largest = max((max(array.shape, default=1) for array in arrays.values()), default=0)
    sizes = {**found, "vocabulary": len(found["vocabulary"])}
    limits = dict.fromkeys(("hidden_size", "embedding_size", "vocabulary"), largest)
    for name, limit in {**limits, "num_layers": len(arrays)}.items():
        size = sizes[name]  # of another type: __init__ says so
        if isinstance(size, int) and size > limit:
            raise FileFormatError(
                f"{name} is {size}, but by its weights at most {limit}"
            )


def _same_cell(path: FilePath, cell: Cell | None, name: str, own: bool | None) -> Cell:
    """The cell given; ArgumentError if it can't be what the model was trained with."""
    if cell is None:
        raise ArgumentError(
            f"the model in {path} is of a cell {name!r} that is not built in: load it "
            "in Python, with LanguageModel.load(path, cell=...)"
        )
    cell = cell_named(cell)
    if cell.name != name:
        raise ArgumentError(
            f"the model in {path} is of the cell {name!r}, but cell is {cell.name!r}"
        )
    if own is not None and own != _is_own(cell):
        whose = ("built-in", "own") if _is_own(cell) else ("own", "built-in")
        raise ArgumentError(
            f"the model in {path} is of the {whose[0]} cell {name!r}, but cell is the "
            f"{whose[1]} one"
        )
    return cell


def _is_own(cell: Cell) -> bool:
    from seq import CELLS

    return CELLS.get(cell.name) is not cell


def cell_named(cell: str | Cell) -> Cell:
    """A built-in cell by its name; "rnn" is "rnn_tanh".

    Raises ArgumentError if there is none of this name, and for a cell that takes data
    at its calls: a language model has none to give.
    """
    from seq import CELLS

    # Neither what takes data nor what needs a proj_size.
    plain = {n: c for n, c in CELLS.items() if not c.data and n != "lstm_proj"}
    known = {"rnn": CELLS["rnn_tanh"], **plain}
    found = known.get(cell) if isinstance(cell, str) else cell
    if not isinstance(found, Cell) or found.data:
        raise ArgumentError(f"cell must be one of {', '.join(known)}, got {cell!r}")
    return found
