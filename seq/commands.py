"""What `python -m seq` does: train, sample, score, plot."""

import math
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO
from zlib import crc32

import minigrad as mg
from minigrad.errors import ArgumentError
from seq.models import sampling
from seq.models.language_model import LanguageModel
from seq.text.batches import Lines, Windows, line_blocks, text_batch
from seq.text.corpus import Corpus, TokenFile, read_corpus, rewindable
from seq.text.vocabulary import UNK
from seq.training import Batches, checkpoint, evaluate, fit
from seq.training.run import history_of

ONE_HOT = 256  # tokens: with more of them, a table is faster
EMBEDDING = 128
SCORED = 64  # lines at a time
CHUNK = 1 << 20  # tokens, that are read at once
KEPT = ["text", "level", "min_count", "max_size", "held_out", "seed", "cell", "hidden"]
KEPT += ["layers", "dropout", "batch", "window", "lr", "clip"]


def train(options: Namespace) -> None:
    """Read the text, train, write the model, say how good it is, show samples."""
    out = options.out or Path(f"{_stem(options.file)}.safetensors")
    _check_out(out, options.file)
    if options.resume:
        _check_written(run_path(out))
    with source(options.file) as file:
        corpus = read_corpus(
            file,
            options.level,
            lines=not options.text,
            held_out=options.held_out,
            min_count=options.min_count,
            max_size=options.max_size,
            encoding=options.encoding,
            seed=options.seed,
        )
    # The model draws from a generator of its own, but a run keeps the library's too:
    # with a seed of the system's, two files of the same run would differ.
    mg.manual_seed(options.seed)
    model = new_model(corpus, options)
    optimizer = mg.optim.Adam(model.parameters(), lr=options.lr)
    batches = batches_of(corpus.train, options, corpus.lines)
    held_out = None
    if len(corpus.held_out) >= options.batch or (corpus.lines and len(corpus.held_out)):
        held_out = batches_of(corpus.held_out, options, corpus.lines)
    n, m = len(corpus.train), len(corpus.held_out)
    print(f"{n:,} tokens to learn from, {m:,} held out, {corpus.vocabulary}")
    try:
        history = fit(
            model,
            batches,
            optimizer,
            epochs=options.epochs,
            steps=options.steps,
            held_out=held_out,
            carry=not corpus.lines,
            clip_norm=options.clip,
            patience=options.patience if held_out else None,
            checkpoint=run_path(out),
            resume=options.resume,
            settings=settings_of(corpus, options),
        )
    except KeyboardInterrupt:
        model.save(out)
        raise
    model.save(out)
    if history.best is not None and history.best.held_out is not None:
        print(f"held out: {described(history.best.held_out, model)}")
    print(f"model: {out}; its run: {run_path(out)}")
    for text in sampling.sample(model, 3, generator=options.seed):
        print(text)


def sample(options: Namespace) -> None:
    """Print texts, each on a line of its own."""
    _check_written(options.model)
    model = LanguageModel.load(options.model)
    if UNK in model.vocabulary.encode(options.prompt):
        print("the model knows a part of the prompt as <UNK> only", file=sys.stderr)
    for text in sampling.sample(
        model,
        options.n,
        length=options.length,
        prompt=options.prompt,
        temperature=options.temperature,
        top_k=options.top_k,
        unknown=options.unknown,
        generator=options.seed,
    ):
        print(text)


def score(options: Namespace) -> None:
    """Print log P of each line, if the model is one of lines; then of the whole."""
    _check_written(options.model)
    model = LanguageModel.load(options.model)
    with source(options.file) as file:
        corpus = read_corpus(
            file,
            vocabulary=model.vocabulary,
            lines=model.lines,
            held_out=0,
            encoding=options.encoding,
        )
    if model.lines:
        loss = _score_lines(model, corpus)
    else:
        loss = evaluate(model, Windows(corpus.train, 1, 1024), carry=True)
    n = len(corpus.train)
    if any(UNK in corpus.train[i : i + CHUNK] for i in range(0, n, CHUNK)):
        print("the model knows a part of the text as <UNK> only", file=sys.stderr)
    print(f"{-loss * n:.2f}: all {n:,} tokens; {described(loss, model)}")


def plot(options: Namespace) -> None:
    """Draw the loss of the run that made a model."""
    path = options.model
    if not path.name.endswith(".run.safetensors"):
        path = run_path(path)
    _check_written(path)
    out = options.out or options.model.with_suffix(".png")
    found = checkpoint.load(path)
    with checkpoint.understood(path):
        history = history_of(found)
    history.draw(out, "loss per token")
    print(out)


def new_model(corpus: Corpus, options: Namespace) -> LanguageModel:
    """An untrained model for a corpus, as the command line says."""
    return LanguageModel(
        corpus.vocabulary,
        options.cell,
        options.hidden,
        options.layers,
        embedding_of(corpus, options) or None,
        options.dropout,
        lines=corpus.lines,
        generator=options.seed,
    )


def embedding_of(corpus: Corpus, options: Namespace) -> int:
    """The size of a token's vector; 0: one-hot."""
    if options.embedding is None:
        return 0 if len(corpus.vocabulary) <= ONE_HOT else EMBEDDING
    size: int = options.embedding
    return size


def settings_of(corpus: Corpus, options: Namespace) -> dict[str, Any]:
    """What a run is of, by the option that says it: all but how long it goes on."""
    text = 0
    for part in (corpus.train, corpus.held_out):
        for start in range(0, len(part), CHUNK):
            text = crc32(part[start : start + CHUNK].tobytes(), text)
    return {
        **{f"--{name.replace('_', '-')}": getattr(options, name) for name in KEPT},
        "--embedding": embedding_of(corpus, options),
        "vocabulary": corpus.vocabulary.tokens,
        "tokens to learn from": len(corpus.train),
        "tokens held out": len(corpus.held_out),
        "checksum of the tokens": text,
    }


def batches_of(tokens: TokenFile, options: Namespace, lines: bool) -> Batches:
    """Lines by length, or windows of a running text."""
    if lines:
        return Lines(tokens, options.batch, seed=options.seed)
    return Windows(tokens, options.batch, options.window)


def described(loss: float, model: LanguageModel) -> str:
    """A loss per token in words.

    >>> from seq.text.vocabulary import Vocabulary
    >>> described(1.5, LanguageModel(Vocabulary.fit(["ab"]), hidden_size=1))
    '1.5000 per token, 2.164 bits per character, perplexity 4.48'
    """
    bits = f"{loss / math.log(2):.3f} bits per character, "
    bits = bits if model.vocabulary.level == "char" else ""
    return f"{loss:.4f} per token, {bits}perplexity {math.exp(min(loss, 700)):.2f}"


def run_path(model: Path) -> Path:
    """Where the run of a model is kept, with all that is needed to go on."""
    return model.with_suffix(".run.safetensors")


@contextmanager
def source(name: str) -> Iterator[BinaryIO]:
    """The file of this name, or standard input for "-", to be read more than once."""
    if name == "-":
        if sys.stdin is None:
            raise ArgumentError("standard input is closed; name a file to read")
        with rewindable(sys.stdin.buffer) as file:
            yield file
    else:
        with open(name, "rb") as file:
            yield file


def _score_lines(model: LanguageModel, corpus: Corpus) -> float:
    """Print log P and text of each line; return the loss per token of all of them."""
    total = 0.0
    for lines in line_blocks(corpus.train):
        for i in range(0, len(lines), SCORED):
            some = lines[i : i + SCORED]
            found = model.log_probabilities(text_batch(some))
            for log_p, line in zip(found, some, strict=True):
                print(f"{log_p:.2f}: {model.vocabulary.decode(line[:-1])}")
            total -= float(found.sum())
    return total / len(corpus.train)


def _check_written(path: Path) -> None:
    """Refuse the name of a file that `train` has not written."""
    if not path.exists():
        raise ArgumentError(
            f"{path}: there is no such file; python -m seq train writes it"
        )


def _stem(name: str) -> str:
    return "text" if name == "-" else Path(name).absolute().stem


def _check_out(out: Path, file: str) -> None:
    """Refuse to write over the text, and where nothing can be written."""
    if out.suffix != ".safetensors":
        raise ArgumentError(f"--out must end in .safetensors, got {out}")
    if out.is_dir():
        raise ArgumentError(f"--out {out}: it is a directory; name a file")
    if not out.absolute().parent.is_dir():
        raise ArgumentError(f"--out {out}: there is no such directory")
    if file != "-" and out.exists() and out.samefile(file):
        raise ArgumentError(f"--out {out} is the text itself")
