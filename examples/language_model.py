"""A running text, of characters or words, beside the same model in PyTorch's modules.

    python examples/language_model.py [FILE] [--level word] [--full] [--steps N]

FILE is any text; without it, tinyshakespeare.txt in the directory MINIGRAD_DATA;
without that, generated sentences. Both models see the same batches from the same
weights, and their loss curves lie on each other. Half of what is held out says when to
stop, the other half gives the numbers. --full reads all of the text, not only its first
100,000 bytes, and trains a larger model.
"""

import argparse
import io
import math
import os
import sys
from pathlib import Path
from typing import Any

from generated import sentences

import minigrad as mg
from seq.models.language_model import LanguageModel
from seq.models.sampling import sample
from seq.text.batches import Windows
from seq.text.corpus import Tokens, read_corpus
from seq.text.ngram import NGram
from seq.training import evaluate, fit

BATCH, WINDOW, CLIP = 32, 64, 1.0
STEPS = {"char": 1250, "word": 1000}  # of the full form
QUICK = 100_000  # bytes
NAME = "tinyshakespeare.txt"


def source(file: Path | None) -> Any:
    """The file to read, and what it is."""
    folder = os.environ.get("MINIGRAD_DATA")
    if file is None and folder and Path(folder, NAME).is_file():
        file = Path(folder, NAME)
    if file is not None:
        print(f"text in {file}")
        return file
    missing = f"{NAME} in {folder}" if folder else "MINIGRAD_DATA"
    print(f"generated sentences: no FILE was given, and there is no {missing}")
    return io.BytesIO("\n".join(sentences(3000)).encode())


def beginning(file: Any) -> Any:
    """What the quick form reads: the lines of the first 100,000 bytes."""
    data = file.read_bytes() if isinstance(file, Path) else file.read()
    return io.BytesIO(data[:QUICK].rpartition(b"\n")[0] or data)


def baseline(train: Tokens, test: Tokens, size: int) -> tuple[int, float]:
    """The n of the best n-gram for the held-out text, and its loss."""
    model = NGram(6, size).fit([train[:]])
    losses = {n: model.shorter(n).loss([test[:]]) for n in range(1, 7)}
    best = min(losses, key=lambda n: losses[n])
    return best, losses[best]


def twin_of(model: LanguageModel) -> Any:
    """The same model in PyTorch's modules; None without PyTorch."""
    try:
        from torch_twin import Twin
    except ModuleNotFoundError as error:
        print(f"{error}: nothing to stand beside")
        return None
    return Twin(model)


def described(loss: float, level: str) -> str:
    """A loss per token in the measure that is usual for characters, or for words."""
    if level == "char":
        return f"{loss / math.log(2):.3f} bits per character"
    return f"perplexity {math.exp(loss):.1f}"


def main() -> None:
    """Train both, compare with each other and with the best n-gram, draw, sample."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--level", choices=["char", "word"], default="char")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--picture", type=Path, default=Path("language_model.png"))
    options = parser.parse_args()
    level, full = options.level, options.full
    text = source(options.file)
    text, size = (text, 5000) if full else (beginning(text), 2000)
    corpus = read_corpus(text, level, lines=False, max_size=size)
    steps, lr = (STEPS[level], 0.003) if full else (700, 0.01)
    steps = options.steps or steps
    windows = Windows(corpus.train, BATCH, WINDOW)
    watched, test = corpus.held_out.split(len(corpus.held_out) // 2)
    tested = Windows(test, 8, WINDOW)
    model = LanguageModel(
        corpus.vocabulary,
        hidden_size=256 if full else 128,
        num_layers=2 if full else 1,
        embedding_size=64 if level == "char" else 128,
        lines=False,
        generator=0,
    )
    twin = twin_of(model)  # before the weights change
    history = fit(
        model,
        windows,
        mg.optim.Adam(model.parameters(), lr=lr),
        steps=steps,
        every=max(25, -(-steps // 20)),
        held_out=Windows(watched, 8, WINDOW),
        patience=2,
        carry=True,
        clip_norm=CLIP,
    )
    n, counted = baseline(corpus.train, test, len(corpus.vocabulary) - 1)
    print(f"held out: {described(evaluate(model, tested, carry=True), level)}")
    print(f"  {n}-gram: {described(counted, level)}")
    beside = {f"{n}-gram": [counted]}
    if twin is not None:
        # To the step whose weights were the best, and are the model's now.
        beside["torch.nn"] = theirs = twin.fit(windows, history.best.step, lr, CLIP)
        pairs = zip(history.losses, theirs, strict=False)
        gap = max(abs(a - b) / b for a, b in pairs)
        print(f"  torch.nn: {described(twin.evaluate(tested), level)}")
        print(f"largest gap to torch.nn's loss: {gap:.1e} of it, {len(theirs)} steps")
    history.draw(options.picture, f"loss per {level}", beside)
    print(f"picture: {options.picture}")
    print(sample(model, length=300, temperature=0.8, generator=1)[0])


if __name__ == "__main__":
    sys.exit(main())
