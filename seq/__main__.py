"""python -m seq: train a language model on a text of yours, and sample from it."""

import argparse
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from minigrad.errors import MinigradError
from seq import commands

EXAMPLES = """\
examples:
  python -m seq train names.txt                     each line is an example
  python -m seq train novel.txt --text --layers 2   one running text
  python -m seq train novel.txt --text --level word --min-count 3
  cat *.txt | python -m seq train - --text --out all.safetensors
  python -m seq train names.txt --resume            go on after Ctrl-C
  python -m seq sample names.safetensors -n 20 --temperature 0.8
  python -m seq sample novel.safetensors --prompt "It was " --length 500
  python -m seq score names.safetensors other.txt   how likely is each line?
  python -m seq plot names.safetensors              its loss, as a picture
"""
MOST = 2**40  # of anything that is counted: sizes beyond overflow when multiplied


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit status: 0, 1 after an error, 130 after Ctrl-C."""
    options = parser().parse_args(argv)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        options.run(options)
        print(end="", flush=True)  # also where standard output is closed, and None
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (MinigradError, OSError, MemoryError) as error:
        print(f"python -m seq: {said(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as error:
        print(f"\n{str(error) or 'stopped'}", file=sys.stderr)
        return 130
    return 0


def said(error: BaseException) -> str:
    """What an error says; of a file that can't be opened, without the system's number.

    >>> said(FileNotFoundError(2, "No such file or directory", "novel.txt"))
    'novel.txt: there is no such file'
    """
    if not isinstance(error, OSError) or error.filename is None:
        return str(error)
    reason, folder = error.strerror, Path(error.filename).parent
    if isinstance(error, FileNotFoundError):
        named = folder.is_dir()
        reason = "there is no such file" if named else f"there is no directory {folder}"
    return f"{error.filename}: {reason}"


def parser() -> argparse.ArgumentParser:
    """What the command line takes."""
    made = argparse.ArgumentParser(
        prog="python -m seq",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = made.add_subparsers(required=True, metavar="command")
    _add_train(kinds.add_parser("train", help="train a model on a text file"))
    _add_sample(kinds.add_parser("sample", help="draw new text from a model"))
    _add_score(kinds.add_parser("score", help="how likely a text is to a model"))
    plot = kinds.add_parser("plot", help="draw the loss of a model's training")
    plot.add_argument("model", type=Path)
    plot.add_argument("--out", type=Path, help="default: MODEL with .png")
    plot.set_defaults(run=commands.plot)
    return made


def _add_train(train: argparse.ArgumentParser) -> None:
    train.set_defaults(run=commands.train)
    train.add_argument("file", help="a text; - for standard input")
    train.add_argument(
        "--out", type=Path, help="default: the name of the file, with .safetensors"
    )
    train.add_argument(
        "--text", action="store_true", help="one running text, not an example a line"
    )
    train.add_argument("--level", choices=["char", "word"], default="char")
    train.add_argument("--cell", default="lstm", help="rnn, gru, lstm, mgu, ...")
    for name, default, text in [
        ("hidden", 128, "units of a layer"),
        ("layers", 1, "layers"),
        ("batch", 32, "examples of a batch, or parts of the text side by side"),
        ("window", 64, "tokens of a batch; of a running text only"),
        ("epochs", 20, "times that the text is read, at most"),
        ("patience", 3, "epochs without a better held-out loss before it stops"),
        ("min-count", 1, "how often a token must be there"),
    ]:
        _add(train, name, positive, default, text)
    train.add_argument("--steps", type=positive, help="batches, at most")
    train.add_argument("--max-size", type=positive, help="tokens, at most")
    train.add_argument(
        "--embedding",
        type=countable,
        help="size of a token's vector; 0: one-hot, the default for up to 256 tokens",
    )
    _add(train, "dropout", share, 0.0, "of the layers' outputs")
    _add(train, "lr", above_zero, 0.003, "learning rate of Adam")
    _add(train, "clip", above_zero, 1.0, "largest norm of the gradient")
    _add(train, "held-out", float, 0.1, "share of the text that is not trained on")
    _add(train, "encoding", str, "utf-8", "of the text")
    _add(train, "seed", natural, 0, "of all that is drawn")
    train.add_argument(
        "--resume",
        action="store_true",
        help="go on with the last run; give the same text and options",
    )


def _add_sample(sample: argparse.ArgumentParser) -> None:
    sample.set_defaults(run=commands.sample)
    sample.add_argument("model", type=Path)
    sample.add_argument("-n", type=positive, default=1, help="texts (default: 1)")
    _add(sample, "length", positive, 200, "tokens of a text, at most")
    _add(sample, "prompt", str, "", "how each text begins")
    _add(sample, "temperature", float, 1.0, "below 1: likelier; 0: the likeliest")
    sample.add_argument("--top-k", type=positive, help="among so many tokens only")
    sample.add_argument("--seed", type=natural, help="draw the same again")
    sample.add_argument("--unknown", action="store_true", help="allow <UNK>")


def _add_score(score: argparse.ArgumentParser) -> None:
    score.set_defaults(run=commands.score)
    score.add_argument("model", type=Path)
    score.add_argument("file", nargs="?", default="-", help="default: standard input")
    _add(score, "encoding", str, "utf-8", "of the text")


def _add(
    command: argparse.ArgumentParser,
    name: str,
    kind: object,
    default: object,
    text: str,
) -> None:
    described = f"{text} (default: {default})" if default != "" else text
    command.add_argument(f"--{name}", type=kind, default=default, help=described)  # type: ignore[arg-type]


def positive(text: str) -> int:
    """A number of at least 1, of something that is counted."""
    number = countable(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return number


def countable(text: str) -> int:
    """A number of at least 0, and not more than any machine holds."""
    number = natural(text)
    if number > MOST:
        raise argparse.ArgumentTypeError(f"{text} is above {MOST:,}")
    return number


def natural(text: str) -> int:
    """A number of at least 0."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return number


def above_zero(text: str) -> float:
    """A finite number above 0: with none, nothing would be learned."""
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return number


def share(text: str) -> float:
    """A number from 0 to below 1."""
    number = float(text)
    if not 0 <= number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to below 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
