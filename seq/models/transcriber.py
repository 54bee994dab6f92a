"""Frames in, characters out, not aligned: a tagger under CTC."""

from typing import Any

import numpy as np

import minigrad as mg
from minigrad.errors import ArgumentError
from seq.boundary import Lengths
from seq.models.shapes import Tagger
from seq.recurrent import Recurrent
from seq.text.padding import IGNORE, Batch
from seq.training.loss import Loss, evaluating


class Transcriber(Tagger):
    """Many to many, T_y <= T_x: a character or a blank at each frame, then collapsed.

    Output 0 is the blank, so characters are numbered from 1. Graves et al. (2006),
    "Connectionist Temporal Classification". Raises ArgumentError for a weight: an
    alignment is of all labels at once.
    """

    def __init__(self, layer: Recurrent, n_outputs: int, **options: Any) -> None:
        if options.get("weight") is not None:
            raise ArgumentError("a Transcriber takes no weight: CTC has none")
        super().__init__(layer, n_outputs, **options)

    def loss(self, batch: Batch) -> Loss:
        """-log p of batch.y (T_y, B), over all alignments, summed; counted in y."""
        log_probs = mg.log_softmax(self(batch.x, batch.lengths), -1)
        live = (batch.y != IGNORE).T
        total = mg.ctc_loss(
            log_probs,
            mg.tensor(np.where(live, batch.y.T, 1)),
            batch.lengths,
            live.sum(1),
            reduction="sum",
        )
        return Loss(total, int(live.sum()))

    def transcribe(self, x: Any, lengths: Lengths | None = None) -> list[list[int]]:
        """The characters of each example: the best label of each frame, collapsed.

        Dropout is off, whatever mode the model is in.
        """
        with evaluating(self):
            best = self(x, lengths).numpy().argmax(-1)
        whole = np.full(best.shape[1], len(best))
        ends = whole if lengths is None else np.asarray(lengths)
        return [collapse(row[:end]) for row, end in zip(best.T, ends, strict=True)]


def collapse(path: np.ndarray[Any, Any]) -> list[int]:
    """The characters that a label a frame stands for: no repeats, then no blanks.

    >>> collapse(np.array([0, 3, 3, 0, 3, 1, 1, 0]))
    [3, 3, 1]
    """
    repeats = np.r_[False, path[1:] == path[:-1]]
    return path[~repeats & (path != 0)].tolist()
