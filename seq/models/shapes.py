"""The shapes of a sequence model with one layer of steps: forward equations only.

T_x steps go in and T_y come out. One to one is a plain network; many to one reads a
sequence and says one thing of it; many to many of equal lengths says something at each
step. `seq.models.decoder` has the shapes that write a sequence of their own.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn, rng
from minigrad.errors import ArgumentError, ShapeError
from seq.boundary import Lengths
from seq.recurrent import Recurrent
from seq.text.padding import IGNORE, Batch
from seq.training.loss import Loss

POOLS = ("last", "mean", "max")


def output_size(layer: Recurrent) -> int:
    """The last size of a layer's output: that of both directions."""
    sizes = layer.places["_l0"]
    dtype = layer.parameter_dtype()
    return layer.cell.output_size(sizes, dtype) * len(layer.directions)


def deep(
    sizes: Sequence[int], *, dtype: Any = mg.float32, generator: rng.Seed = None
) -> nn.Sequential:
    """Linear layers with tanh between: W_k tanh(... W_1 x + b_1 ...) + b_k.

    Of each step by itself, so not connected in time. sizes: that of the input, of the
    layers between, and of the output.
    """
    g = rng.generator(generator)
    layers: list[nn.Module] = []
    for n, (size, following) in enumerate(pairwise(sizes)):
        layers += [nn.Tanh()] if n else []
        layers.append(nn.Linear(size, following, dtype=dtype, generator=g))
    return nn.Sequential(*layers)


class OneToOne(nn.Module):
    """One to one, T_x = T_y = 1: ŷ = g(W x + b), with deep layers between if any.

    x: (B, n_inputs); the scores are (B, n_outputs), before the softmax.
    """

    def __init__(
        self,
        n_inputs: int,
        n_outputs: int,
        hidden: Sequence[int] = (),
        *,
        dtype: Any = mg.float32,
        generator: rng.Seed = None,
    ) -> None:
        sizes = (n_inputs, *hidden, n_outputs)
        self.head = deep(sizes, dtype=dtype, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """The scores (B, n_outputs) of x (B, n_inputs)."""
        return self.head(x)

    def loss(self, batch: Batch) -> Loss:
        """The cross entropy of batch.y (B,), summed over the examples."""
        return label_loss(self(mg.tensor(batch.x)), batch.y)


class StepModel(nn.Module):
    """What the shapes around a layer share: inputs, recurrent layers, deep layers.

    layer: any Recurrent, stacked and in both directions if you like, time first;
    inputs: what makes a vector of each x⟨t⟩, such as an nn.Embedding; x⟨t⟩ itself if
    None; hidden: the sizes of deep layers above the recurrent ones, not connected in
    time; dropout: on the vectors before and after the recurrent layers.
    """

    def __init__(
        self,
        layer: Recurrent,
        n_outputs: int,
        *,
        inputs: nn.Module | None = None,
        hidden: Sequence[int] = (),
        dropout: float = 0.0,
        generator: rng.Seed = None,
    ) -> None:
        if not isinstance(layer, Recurrent) or layer.batch_first:
            raise ArgumentError(f"layer must be a Recurrent, time first; got {layer!r}")
        sizes = (output_size(layer), *hidden, n_outputs)
        dtype = layer.parameter_dtype()
        g = rng.generator(generator)
        self.inputs = inputs
        self.layer = layer
        self.head = deep(sizes, dtype=dtype, generator=g)
        self.dropout = nn.Dropout(dropout)

    def activations(self, x: Any, lengths: Lengths | None = None) -> Tensor:
        """a⟨1⟩ ... a⟨T⟩, (T, B, size), of x (T, B, ...)."""
        x = x if isinstance(x, Tensor) else mg.tensor(x)
        vectors = x if self.inputs is None else self.inputs(x)
        output, _ = self.layer(self.dropout(vectors), lengths=lengths)
        return self.dropout(output)


class Classifier(StepModel):
    """Many to one: ŷ = g(W_y a + b_y), a being what is left of all the steps.

    pool: "last", a⟨T_x⟩ of the forward direction beside a⟨1⟩ of the backward one, so
    that each has read everything; "mean" or "max" over the steps.
    """

    def __init__(
        self, layer: Recurrent, n_outputs: int, *, pool: str = "last", **options: Any
    ) -> None:
        if pool not in POOLS:
            raise ArgumentError(f"pool must be one of {POOLS}, got {pool!r}")
        super().__init__(layer, n_outputs, **options)
        self.pool = pool

    def forward(self, x: Any, lengths: Lengths | None = None) -> Tensor:
        """The scores (B, n_outputs) of x (T, B, ...), before the softmax."""
        steps = self.activations(x, lengths)
        n_steps, batch, _ = steps.shape
        ends = np.full(batch, n_steps) if lengths is None else np.asarray(lengths)
        return self.head(pooled(steps, ends, self.pool, self.layer.bidirectional))

    def loss(self, batch: Batch) -> Loss:
        """The cross entropy of batch.y (B,), summed over the examples."""
        return label_loss(self(batch.x, batch.lengths), batch.y)


class Tagger(StepModel):
    """Many to many, T_x = T_y: ŷ⟨t⟩ = g(W_y [a→⟨t⟩, a←⟨t⟩] + b_y).

    Of one direction, ŷ⟨t⟩ = g(W_y a⟨t⟩ + b_y) knows nothing of what comes after t.
    weight: (n_outputs,), how much each label counts in the loss, where some are rare.
    """

    weight: Tensor | None

    def __init__(
        self, layer: Recurrent, n_outputs: int, *, weight: Any = None, **options: Any
    ) -> None:
        super().__init__(layer, n_outputs, **options)
        dtype = layer.parameter_dtype()
        weight = None if weight is None else mg.tensor(weight, dtype=dtype)
        self.register_buffer("weight", weight, persistent=False)  # `to` casts it, too

    def forward(self, x: Any, lengths: Lengths | None = None) -> Tensor:
        """The scores (T, B, n_outputs) of each step, before the softmax."""
        return self.head(self.activations(x, lengths))

    def loss(self, batch: Batch) -> Loss:
        """Σ_t of the cross entropies of batch.y (T, B), IGNORE past the ends."""
        return label_loss(self(batch.x, batch.lengths), batch.y, self.weight)


class BinaryTagger(Tagger):
    """Many to many, of yes-or-no outputs: several may be 1 at a step, as keys are.

    weight: (n_outputs,), how much each output counts in the loss.
    """

    def loss(self, batch: Batch) -> Loss:
        """-log p(y⟨t⟩) of batch.y (T, B, n_outputs), 0 or 1, summed; counted in steps.

        ŷ is the sigmoid of the scores, each output by itself.
        """
        scores = self(batch.x, batch.lengths)
        target = mg.tensor(batch.y.astype(scores.dtype))
        live = np.arange(len(batch.y))[:, None] < batch.lengths
        losses = mg.binary_cross_entropy_with_logits(
            scores, target, self.weight, reduction="none"
        )
        total = (losses.sum(-1) * mg.tensor(live.astype(scores.dtype))).sum()
        return Loss(total, int(live.sum()))


def label_loss(scores: Tensor, labels: Any, weight: Tensor | None = None) -> Loss:
    """-log of the softmax's probability of each label, summed; IGNORE is left out.

    scores: (B, C) or (T, B, C); labels: int64 (B,) or (T, B); weight: (C,), a factor
    for each label. Raises ShapeError for labels of another shape: (B, T) has as many,
    in another order.
    """
    labels = np.asarray(labels)
    if labels.shape != scores.shape[:-1]:
        raise ShapeError(
            f"labels must have the shape {scores.shape[:-1]}, that of the scores "
            f"without their last axis, got {labels.shape}"
        )
    flat = scores.reshape(-1, scores.shape[-1])
    index = mg.tensor(labels.reshape(-1))
    total = mg.cross_entropy(flat, index, weight, IGNORE, "sum")
    return Loss(total, int((labels != IGNORE).sum()))


def pooled(steps: Tensor, ends: Any, pool: str, bidirectional: bool) -> Tensor:
    """(T, B, size) as (B, size); an example of no steps gives zeros."""
    n_steps, batch, _ = steps.shape
    if pool == "last":
        # Past the end there are zeros: index -1, of an example of no steps, finds one.
        last = steps[ends - 1, np.arange(batch)]
        if not bidirectional:
            return last
        forward, _ = last.chunk(2, -1)
        _, backward = steps[0].chunk(2, -1)
        return mg.cat([forward, backward], -1)
    if pool == "mean":
        return steps.sum(0) / mg.tensor(
            np.maximum(ends, 1)[:, None].astype(steps.dtype)
        )
    live = (np.arange(n_steps)[:, None] < ends)[..., None]
    highest = mg.amax(mg.where(mg.tensor(live), steps, -np.inf), 0)
    return mg.where(mg.tensor(ends > 0)[:, None], highest, 0.0)
