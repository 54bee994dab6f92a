"""A language model of characters: reads a text file of yours, and goes on writing.

    python examples/char_lm.py FILE [--steps N]

With tqdm installed (the extra `progress`) it shows how far it is.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
import seq
from minigrad import nn

try:
    from tqdm import trange
except ImportError:
    trange = range

WINDOW, BATCH, EMBEDDING, HIDDEN = 64, 32, 64, 128


class CharLM(nn.Module):
    """From characters to what comes next; one at a time or many, carrying a state."""

    def __init__(self, n_chars: int) -> None:
        self.embedding = nn.Embedding(n_chars, EMBEDDING)
        self.lstm = seq.LSTM(EMBEDDING, HIDDEN)
        self.head = nn.Linear(HIDDEN, n_chars)

    def forward(self, chars: mg.Tensor, state: Any = None) -> tuple[mg.Tensor, Any]:
        """Characters (T, B) to (scores of the next (T, B, n_chars), state)."""
        output, state = self.lstm(self.embedding(chars), state)
        return self.head(output), state


def train(
    model: CharLM, data: Any, steps: int, rng: np.random.Generator
) -> list[float]:
    """Fit random windows of the data; returns the loss of each step."""
    optimizer = mg.optim.Adam(model.parameters(), lr=5e-3)
    losses = []
    for _ in trange(steps):
        starts = rng.integers(len(data) - WINDOW, size=BATCH)
        windows = mg.tensor(data[starts + np.arange(WINDOW + 1)[:, None]])
        scores, _ = model(windows[:-1])
        loss = mg.cross_entropy(scores.permute(0, 2, 1), windows[1:])
        optimizer.zero_grad()
        loss.backward()
        nn.clip_grad_norm_(model.parameters(), max_norm=1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


@mg.no_grad()
def write(model: CharLM, last: int, rng: np.random.Generator) -> list[int]:
    """Draw the 200 characters that follow the last one."""
    chars, state = [last], None
    for _ in range(200):
        scores, state = model(mg.tensor([chars[-1:]]), state)
        probabilities = scores[0, 0].double().softmax(-1)
        chars.append(rng.choice(len(probabilities), p=probabilities))
    return chars[1:]


def read(path: Path) -> str:
    """The text of the file; exits with a message if there isn't enough of it."""
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        sys.exit(f"can't read {path}: {error.strerror}")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        sys.exit(f"{path} is not a text file in UTF-8")
    if len(text) <= WINDOW:
        sys.exit(f"{path} has {len(text)} characters; at least {WINDOW + 1} are needed")
    return text


def main() -> None:
    """Train on the file, then show the losses and some lines of the model's."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help="any text in UTF-8")
    parser.add_argument("--steps", type=int, default=300, help="default: 300")
    options = parser.parse_args()
    if options.steps < 1:
        parser.error("--steps must be at least 1")
    vocabulary, data = np.unique(list(read(options.file)), return_inverse=True)
    rng = mg.manual_seed(0)
    model = CharLM(len(vocabulary))
    losses = train(model, data, options.steps, rng)
    print(f"loss: {losses[0]:.3f} at first, {losses[-1]:.3f} at last")
    print("".join(vocabulary[write(model, data[-1], rng)]))


if __name__ == "__main__":
    main()
