"""Names, one an example: a model of their characters, which then makes up new ones.

    python examples/names.py [FILE] [--full] [--steps N] [--picture names.png]

FILE has a name a line; without it, dinos.txt or names_makemore.txt in the directory
MINIGRAD_DATA; without them, generated names. A fifth is held out: half of it says when
to stop, the other half gives the numbers. --full trains until the loss of the first
half no longer falls.
"""

import argparse
import io
import os
import sys
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from generated import names

import minigrad as mg
from seq.models.language_model import LanguageModel
from seq.models.sampling import sample
from seq.text.batches import Lines, line_blocks
from seq.text.corpus import Tokens, read_corpus
from seq.text.ngram import NGram
from seq.text.vocabulary import EOS
from seq.training import evaluate, fit

FILES = ("dinos.txt", "names_makemore.txt")


def source(file: Path | None) -> Any:
    """The file to read, and what it is."""
    folder = os.environ.get("MINIGRAD_DATA")
    if file is None and folder:
        paths = (Path(folder, name) for name in FILES)
        file = next((path for path in paths if path.is_file()), None)
    if file is not None:
        print(f"names in {file}")
        return file
    missing = f"{' or '.join(FILES)} in {folder}" if folder else "MINIGRAD_DATA"
    print(f"generated names: no FILE was given, and there is no {missing}")
    return io.BytesIO("\n".join(names(1500)).encode())


def baseline(train: Tokens, test: Tokens, size: int) -> tuple[int, float]:
    """The n of the best n-gram for the held-out names, and its loss per character."""
    known, new = ([*chain.from_iterable(line_blocks(part))] for part in (train, test))
    model = NGram(6, size).fit(known)
    losses = {n: model.shorter(n).loss(new) for n in range(1, 7)}
    best = min(losses, key=lambda n: losses[n])
    return best, losses[best]


def main() -> None:
    """Train, compare with the best n-gram, draw, and make up ten names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--steps", type=int, help="at most")
    parser.add_argument("--picture", type=Path, default=Path("names.png"))
    options = parser.parse_args()
    corpus = read_corpus(source(options.file), held_out=0.2)
    ends = np.flatnonzero(corpus.held_out[:] == EOS)
    watched, test = corpus.held_out.split(int(ends[len(ends) // 2]) + 1)
    hidden, layers, dropout = (256, 2, 0.3) if options.full else (64, 1, 0.0)
    model = LanguageModel(
        corpus.vocabulary, "gru", hidden, layers, dropout=dropout, generator=0
    )
    history = fit(
        model,
        Lines(corpus.train, 32),
        mg.optim.Adam(model.parameters(), lr=0.003 if options.full else 0.01),
        epochs=100 if options.full else 12,
        steps=options.steps,
        held_out=Lines(watched, 32),
        clip_norm=1.0,
        patience=5,
    )
    # <PAD> is not predicted
    n, loss = baseline(corpus.train, test, len(corpus.vocabulary) - 1)
    history.draw(options.picture, "loss per character", {f"{n}-gram": [loss]})
    found = evaluate(model, Lines(test, 32))
    print(f"held out, nats per character: {found:.4f}; best {n}-gram {loss:.4f}")
    print(f"picture: {options.picture}")
    print(*sample(model, 10, temperature=0.8, generator=1), sep="\n")


if __name__ == "__main__":
    sys.exit(main())
