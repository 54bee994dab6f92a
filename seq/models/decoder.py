"""The shapes that write a sequence: one to many, and many to many of other lengths."""

from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn, rng
from minigrad.errors import ArgumentError
from seq.boundary import Lengths
from seq.models.beam import Hypothesis, beam_search, greedy
from seq.models.shapes import deep, label_loss, output_size, pooled
from seq.recurrent import Recurrent
from seq.signature import resolve
from seq.text.padding import IGNORE, Batch
from seq.training.loss import Loss, evaluating

Array = np.ndarray[Any, Any]


class Bridge(nn.Module):
    """The first state of a layer, made of a vector: tanh(W v + b), cut into states.

    Cho et al. (2014), arXiv:1406.1078, appendix A: h⟨0⟩ = tanh(V c).
    """

    def __init__(
        self, size: int, layer: Recurrent, *, generator: rng.Seed = None
    ) -> None:
        shapes = [layer.cell.shapes[name] for name in layer.cell.carry]
        places = len(layer.places)
        self.sizes = [resolve(shape, layer.places["_l0"])[0] for shape in shapes]
        self.places = places
        dtype = layer.parameter_dtype()
        n = places * sum(self.sizes)
        self.linear = nn.Linear(size, n, dtype=dtype, generator=generator)

    def forward(self, vector: Tensor) -> Any:
        """hx for the layer, of vectors (B, size): each state (places, B, its size)."""
        batch = vector.shape[0]
        all_states = mg.tanh(self.linear(vector)).reshape(batch, self.places, -1)
        parts = all_states.permute(1, 0, 2).split(self.sizes, -1)
        return tuple(parts) if len(parts) > 1 else parts[0]


class Decoder(nn.Module):
    """Writes y⟨1⟩, y⟨2⟩, ..., each from the one before, a state and a context vector.

    ŷ⟨t⟩ = g(W_y a⟨t⟩ + b_y), where a⟨t⟩ reads [e(y⟨t-1⟩), context], and e(y⟨0⟩) = 0.
    layer: a Recurrent in one direction, time first, whose input is an embedding beside
    the context; n_tokens: how many there are, the end one of them.
    """

    def __init__(
        self, layer: Recurrent, n_tokens: int, context: int, *, generator: rng.Seed
    ) -> None:
        embedding = layer.input_size - context
        if layer.bidirectional or layer.batch_first or embedding < 1:
            raise ArgumentError(
                "the layer of a decoder must have one direction, time first, and an "
                f"input_size above that of the context, {context}; got {layer!r}"
            )
        g = rng.generator(generator)
        dtype = layer.parameter_dtype()
        self.n_tokens = self.start = n_tokens
        # The row of zeros is e(y⟨0⟩): before the first token there is nothing.
        self.embedding = nn.Embedding(
            n_tokens + 1, embedding, n_tokens, dtype=dtype, generator=g
        )
        self.bridge = Bridge(context, layer, generator=g)
        self.layer = layer
        self.head = deep((output_size(layer), n_tokens), dtype=dtype, generator=g)

    def forward(
        self, tokens: Array, context: Tensor, state: Any = None
    ) -> tuple[Tensor, Any]:
        """The scores (T, B, n_tokens) after each of tokens (T, B), and the state.

        context: (B, size); state: the bridge's, from the context, if it is None.
        """
        state = self.bridge(context) if state is None else state
        vectors = self.embedding(mg.tensor(tokens))
        seen = context[None].expand(len(tokens), *context.shape)
        output, state = self.layer(mg.cat([vectors, seen], -1), state)
        return self.head(output), state

    def loss(self, context: Tensor, y: Array) -> Loss:
        """Σ_t of the cross entropies of y (T_y, B), IGNORE past the ends.

        Teacher forcing: what is read at t is the true y⟨t-1⟩.
        """
        scores, _ = self(self.read(y), context)
        return label_loss(scores, y)

    def read(self, y: Array) -> Array:
        """What is read at each step if y (T_y, B) is to be written: y⟨t-1⟩."""
        before = np.concatenate([np.full_like(y[:1], self.start), y[:-1]])
        return np.where(before == IGNORE, 0, before)

    def greedy(self, context: Tensor, *, end: int, limit: int) -> list[Hypothesis]:
        """See `seq.models.beam.greedy`. Dropout is off, whatever the mode."""
        with evaluating(self):
            state = (context, self.bridge(context))
            places = {"start": self.start, "end": end, "limit": limit}
            return greedy(self._step, state, context.shape[0], **places)

    def beam(
        self, context: Tensor, *, end: int, limit: int, **options: Any
    ) -> list[list[Hypothesis]]:
        """See `seq.models.beam.beam_search`, which takes beam and length_power.

        Dropout is off, whatever mode the decoder is in.
        """
        with evaluating(self):
            state = (context, self.bridge(context))
            places = {"start": self.start, "end": end, "limit": limit}
            batch = context.shape[0]
            return beam_search(self._step, state, _rows, batch, **places, **options)

    def _step(self, tokens: Array, state: Any) -> tuple[Array, Any]:
        context, carried = state
        scores, carried = self(tokens[None], context, carried)
        return mg.log_softmax(scores[0], -1).numpy(), (context, carried)


class OneToMany(nn.Module):
    """One to many: a single x, such as a genre, and a sequence that is written from it.

    x: int64 (B,) with n_inputs kinds. layer and n_tokens: see `Decoder`, the context
    being an embedding of x of the size `context`.
    """

    def __init__(
        self,
        n_inputs: int,
        layer: Recurrent,
        n_tokens: int,
        context: int,
        *,
        generator: rng.Seed = None,
    ) -> None:
        g = rng.generator(generator)
        dtype = layer.parameter_dtype()
        self.inputs = nn.Embedding(n_inputs, context, dtype=dtype, generator=g)
        self.decoder = Decoder(layer, n_tokens, context, generator=g)

    def context(self, x: Any) -> Tensor:
        """What the decoder reads: (B, context) of x (B,)."""
        return self.inputs(x if isinstance(x, Tensor) else mg.tensor(x))

    def forward(self, x: Any, tokens: Array) -> Tensor:
        """The scores (T, B, n_tokens) after each of tokens (T, B)."""
        return self.decoder(tokens, self.context(x))[0]

    def loss(self, batch: Batch) -> Loss:
        """See `Decoder.loss`; batch.x is (B,)."""
        scores = self(batch.x, self.decoder.read(batch.y))
        return label_loss(scores, batch.y)


class EncoderDecoder(nn.Module):
    """Many to many, T_x ≠ T_y: an encoder reads all of x, then a decoder writes y.

    The context is a⟨T_x⟩ of the encoder, and a⟨1⟩ of its backward direction beside it.
    Cho et al. (2014), arXiv:1406.1078; Sutskever et al. (2014), arXiv:1409.3215.
    encoder, decoder: Recurrents, time first; inputs: what makes a vector of each x⟨t⟩;
    n_tokens: how many tokens the decoder knows, the end one of them.
    """

    def __init__(
        self,
        encoder: Recurrent,
        decoder: Recurrent,
        n_tokens: int,
        *,
        inputs: nn.Module | None = None,
        generator: rng.Seed = None,
    ) -> None:
        self.inputs = inputs
        self.encoder = encoder
        size = output_size(encoder)
        self.decoder = Decoder(decoder, n_tokens, size, generator=generator)

    def context(self, x: Any, lengths: Lengths | None = None) -> Tensor:
        """What the decoder reads: (B, size) of x (T, B, ...)."""
        x = x if isinstance(x, Tensor) else mg.tensor(x)
        vectors = x if self.inputs is None else self.inputs(x)
        steps, _ = self.encoder(vectors, lengths=lengths)
        ends = np.full(steps.shape[1], len(x)) if lengths is None else lengths
        return pooled(steps, np.asarray(ends), "last", self.encoder.bidirectional)

    def forward(self, x: Any, tokens: Array, lengths: Lengths | None = None) -> Tensor:
        """The scores (T_y, B, n_tokens) after each of tokens (T_y, B)."""
        return self.decoder(tokens, self.context(x, lengths))[0]

    def loss(self, batch: Batch) -> Loss:
        """See `Decoder.loss`."""
        scores = self(batch.x, self.decoder.read(batch.y), batch.lengths)
        return label_loss(scores, batch.y)


def _rows(state: Any, index: Array) -> Any:
    """The rows of (context, state of the layer), whose batch axes are 0 and 1."""
    context, carried = state
    if isinstance(carried, tuple):
        return context[index], tuple(value[:, index] for value in carried)
    return context[index], carried[:, index]
