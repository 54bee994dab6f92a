"""python -m seq, as it is typed."""

import io
import math
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import minigrad
from seq.__main__ import main
from seq.models.language_model import LanguageModel
from seq.text.vocabulary import Vocabulary
from seq.training import checkpoint

NAMES = [a + b for a in ("an", "be", "cor", "da") for b in ("na", "la", "ris", "vid")]
TINY = ["--hidden", "8", "--epochs", "2", "--batch", "4"]


class Run(SimpleNamespace):
    """The exit status of a command, and what it wrote."""

    status: int
    out: str
    err: str


class Pipe(io.BytesIO):
    def seekable(self) -> bool:
        return False

    def seek(self, *_: int) -> int:
        raise io.UnsupportedOperation("seek")


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Run]:
    """Run a command in an empty directory; data: what it finds on standard input."""
    monkeypatch.chdir(tmp_path)

    def command(*argv: object, data: bytes | None = None) -> Run:
        if data is not None:
            stdin = SimpleNamespace(buffer=Pipe(data))
            monkeypatch.setattr(sys, "stdin", stdin)
        capfd.readouterr()
        try:
            status = main([str(word) for word in argv])
        except SystemExit as error:
            status = int(error.code or 0)
        return Run(
            **dict(zip(("out", "err"), capfd.readouterr(), strict=True)), status=status
        )

    return command


@pytest.fixture
def names(tmp_path: Path) -> Path:
    path = tmp_path / "names.txt"
    path.write_text("\n".join(NAMES), "utf-8")
    return path


def test_train_sample_score_plot(run: Callable[..., Run], names: Path) -> None:
    trained = run("train", "names.txt", *TINY)
    assert trained.status == 0, trained.err
    assert re.search(
        r"held out: \S+ per token, \S+ bits per character, perplexity \S+\n"
        r"model: names.safetensors; its run: names.run.safetensors\n",
        trained.out,
    )
    assert "6/6" in trained.err  # 12 lines to learn from, two epochs

    words = ("sample", "names.safetensors", "-n", 5, "--seed", 1, "--prompt", "an")
    drawn = run(*words)
    assert drawn.status == 0 and drawn == run(*words)
    assert len(drawn.out.splitlines()) == 5
    assert all(line.startswith("an") for line in drawn.out.splitlines())
    assert set(drawn.out) <= set("".join(NAMES) + "\n")
    strange = run("sample", "names.safetensors", "--prompt", "Zoë")
    assert strange.status == 0 and "a part of the prompt as <UNK>" in strange.err
    cold = run("sample", "names.safetensors", "--temperature", 0, "--length", 3)
    assert cold == run("sample", "names.safetensors", "--top-k", 1, "--length", 3)

    scored = run("score", "names.safetensors", data=b"anna\nbela")
    *lines, total = scored.out.splitlines()
    model = LanguageModel.load("names.safetensors")
    expected = [model.log_probability(name) for name in ("anna", "bela")]
    assert lines == [f"{expected[0]:.2f}: anna", f"{expected[1]:.2f}: bela"]
    assert total.startswith(f"{sum(expected):.2f}: all 10 tokens; ")
    assert "<UNK>" not in scored.err
    scored = run("score", "names.safetensors", data="anna\nZoë".encode())
    assert scored.status == 0 and "a part of the text as <UNK> only" in scored.err

    drawn = run("plot", "names.safetensors")
    assert drawn.out == "names.png\n"
    assert Path("names.png").read_bytes().startswith(b"\x89PNG")
    assert run("plot", "names.run.safetensors", "--out", "again.svg").status == 0


@pytest.mark.parametrize("level", ["char", "word"])
def test_a_running_text(run: Callable[..., Run], tmp_path: Path, level: str) -> None:
    text = "the cat sat on the mat.\nthe cats sat too.\n" * 20
    options = ["--text", "--level", level, "--window", 5, "--layers", 2]
    words = ["train", "-", *TINY, *options, "--out", "all.safetensors"]
    trained = run(*words, "--dropout", 0.1, data=text.encode())
    assert trained.status == 0, trained.err
    assert ("bits per character" in trained.out) == (level == "char")
    scored = run("score", "all.safetensors", data=text.encode())
    assert len(scored.out.splitlines()) == 1
    drawn = run("sample", "all.safetensors", "--length", 4, "--prompt", "the cat")
    assert drawn.out.startswith("the cat")


@pytest.mark.parametrize("cell", ["rnn", "gru", "mgu"])
def test_any_cell(run: Callable[..., Run], names: Path, cell: str) -> None:
    assert run("train", "names.txt", *TINY, "--cell", cell).status == 0
    assert cell in repr(LanguageModel.load("names.safetensors"))


def test_without_held_out_data(run: Callable[..., Run], tmp_path: Path) -> None:
    Path("one.txt").write_text("a single line", "utf-8")
    trained = run("train", "one.txt", *TINY, "--held-out", 0)
    assert trained.status == 0, trained.err
    assert "held out:" not in trained.out


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (None, [], r"^python -m seq: text\.txt: there is no such file$"),
        (b"", [], r"text\.txt: there are no lines in it$"),
        (b"", ["--text"], r"text\.txt: there is no text in it$"),
        (b"a", ["--held-out", 0.99], r"there are no lines in it to learn from$"),
        (b"\r\n\r\n", [], "no lines in it"),
        (bytes(range(256)) * 9, [], r"text\.txt: it is no text in utf-8: see byte 128"),
        (b"\x7fELF\0\0\0", [], "there is a zero after byte 0"),
        ("naïve".encode("latin-1"), [], "see byte 2; if it is in another encoding"),
        ("naïve".encode("utf-16"), [], "see byte 0; .* such as utf-16"),
        (b"a b c", ["--encoding", "martian"], "unknown encoding 'martian'"),
        (b"a b c", ["--encoding", "undefined"], "unknown encoding 'undefined'"),
        (b"abc " * 9000, [], "a line has more than 10,000 tokens.*--text"),
        (b"abc", ["--text", "--batch", "50"], "too few for batch_size=50"),
        (b"abc", ["--cell", "no_such"], "cell must be one of rnn, rnn_tanh"),
        (b"abc", ["--out", "text.txt"], r"must end in \.safetensors"),
        (b"abc", ["--out", "no/such.safetensors"], "there is no such directory"),
        (b"abc", ["--resume"], r"text\.run\.safetensors: there is no such file; pyt"),
        (b"abc", ["--held-out", "1"], "held_out must be in"),
    ],
)
def test_what_can_not_be_trained_on(
    run: Callable[..., Run], content: bytes | None, options: list[str], message: str
) -> None:
    if content is not None:
        Path("text.txt").write_bytes(content)
    done = run("train", "text.txt", *options)
    assert done.status == 1
    assert re.search(message, done.err), done.err
    assert done.err.startswith("python -m seq: ") and "Traceback" not in done.err
    assert not list(Path().glob("*.safetensors"))


def test_it_never_writes_over_the_text(run: Callable[..., Run]) -> None:
    path = Path("text.safetensors")
    path.write_text("abc\n", "utf-8")
    done = run("train", path, *TINY)
    assert done.status == 1 and "is the text itself" in done.err
    assert path.read_text("utf-8") == "abc\n"


def test_it_never_trains_for_what_cannot_be_written(
    run: Callable[..., Run], names: Path
) -> None:
    Path("names.safetensors").mkdir()
    done = run("train", "names.txt", *TINY)
    assert done.status == 1 and "--out names.safetensors: it is a directory" in done.err
    assert not Path("names.run.safetensors").exists()


def test_names_with_more_than_one_dot_stay_apart(run: Callable[..., Run]) -> None:
    for version in ("v1", "v2"):
        Path(f"names.{version}.txt").write_text("\n".join(NAMES), "utf-8")
        done = run("train", f"names.{version}.txt", *TINY)
        model, its_run = (f"names.{version}.{end}safetensors" for end in ("", "run."))
        assert f"model: {model}; its run: {its_run}\n" in done.out, done.err
    assert run("plot", "names.v1.safetensors").out == "names.v1.png\n"
    assert not Path("names.safetensors").exists()


def test_windows_line_ends(run: Callable[..., Run]) -> None:
    Path("text.txt").write_bytes("\r\n".join(NAMES).encode())
    assert run("train", "text.txt", *TINY).status == 0
    assert "\r" not in LanguageModel.load("text.safetensors").vocabulary.tokens


def test_one_line_of_100_megabytes(run: Callable[..., Run]) -> None:
    """As lines it is refused at once; as a text it is read (a part of it here)."""
    with open("text.txt", "wb") as file:
        for _ in range(100):
            file.write(b"abcd " * 200_000)
    done = run("train", "text.txt", *TINY)
    assert done.status == 1 and "--text" in done.err
    assert len(done.err) < 300
    os.truncate("text.txt", 2_000_000)
    done = run("train", "text.txt", "--text", *TINY, "--steps", 2, "--held-out", 0)
    assert done.status == 0, done.err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "arguments are required"),
        (["train"], "arguments are required: file"),
        (["train", "x", "--hidden", "0"], "0 is not at least 1"),
        (["train", "x", "--seed", "-1"], "-1 is below 0"),
        (["train", "x", "--lr", "fast"], "--lr: invalid"),
        (["train", "x", "--lr", "0"], "--lr: 0 is not a number above 0"),
        (["train", "x", "--clip", "0"], "--clip: 0 is not a number above 0"),
        (["train", "x", "--clip", "nan"], "--clip: nan is not a number above 0"),
        (["train", "x", "--dropout", "1"], "--dropout: 1 is not from 0 to below 1"),
        (["train", "x", "--level", "byte"], "invalid choice"),
        (["sample", "x", "-n", "many"], "invalid"),
        (["sample", "x", "--length", f"1{'0' * 30}"], "is above 1,099,511,627,776"),
        (["train", "x", "--embedding", f"1{'0' * 30}"], "is above 1,099"),
    ],
)
def test_bad_usage(run: Callable[..., Run], argv: list[str], message: str) -> None:
    done = run(*argv)
    assert done.status == 2 and message in done.err


def test_a_directory_is_no_text(run: Callable[..., Run]) -> None:
    done = run("train", ".")
    assert done.status == 1 and done.err == "python -m seq: .: Is a directory\n"


def test_a_model_that_memory_has_no_room_for(run: Callable[..., Run]) -> None:
    Path("text.txt").write_bytes(b"abc")
    done = run("train", "text.txt", "--hidden", str(1 << 40))
    assert done.status == 1 and "python -m seq: Unable to allocate" in done.err


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_model_whose_training_diverged(
    run: Callable[..., Run], names: Path, value: float
) -> None:
    model = LanguageModel(Vocabulary.fit(NAMES), "gru", 4)
    weight = model.head.weight.detach().numpy().copy()
    weight[0, 1] = value
    model.head.weight.assign(weight)
    model.save("names.safetensors")
    for words in (["sample"], ["score", "names.txt"]):
        done = run(words[0], "names.safetensors", *words[1:])
        assert done.status == 1 and not done.out
        assert "names.safetensors: its head.weight holds NaN or infinity" in done.err


def test_no_text_to_score(run: Callable[..., Run], names: Path) -> None:
    assert run("train", "names.txt", *TINY).status == 0
    done = run("score", "names.safetensors", data=b"\n\n")
    assert done.err == "python -m seq: the text: there are no lines in it\n"


def test_what_cannot_be_written_leaves_the_old_file(
    run: Callable[..., Run], names: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("train", "names.txt", *TINY).status == 0
    done = run("plot", "names.safetensors", "--out", "none/a.png")
    why = "none/a.png: there is no directory none"
    assert done.status == 1 and done.err == f"python -m seq: {why}\n"
    assert run("plot", "names.safetensors").status == 0
    before = Path("names.png").read_bytes()
    assert run("train", "names.txt", *TINY, "--epochs", 3, "--resume").status == 0

    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    done = run("plot", "names.safetensors")
    assert done.status == 1
    assert done.err == "python -m seq: names.png: No space left on device\n"
    assert Path("names.png").read_bytes() == before
    assert not list(Path().glob(".*"))


def test_ctrl_c_before_there_is_anything(
    run: Callable[..., Run], names: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pressed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("seq.commands.read_corpus", pressed)
    done = run("train", "names.txt")
    assert done.status == 130 and done.err == "\nstopped\n"


def test_bad_models(run: Callable[..., Run], names: Path) -> None:
    for command in ("sample", "score", "plot"):
        done = run(command, "none.safetensors", data=b"")
        file = "none.run.safetensors" if command == "plot" else "none.safetensors"
        why = f"{file}: there is no such file; python -m seq train writes it"
        assert done.status == 1 and done.err == f"python -m seq: {why}\n"
        Path("bad.safetensors").write_bytes(b"not at all")
        Path("bad.run.safetensors").write_bytes(b"not at all")
        done = run(command, "bad.safetensors", data=b"")
        assert done.status == 1 and "no whole safetensors file" in done.err
    checkpoint.save("bad.run.safetensors", {"rounds": [[1, 2]]})
    done = run("plot", "bad.safetensors")
    assert done.status == 1 and "bad.run.safetensors is no whole check" in done.err
    assert run("train", "names.txt", *TINY).status == 0
    found = checkpoint.load("names.run.safetensors")
    for changed in (found["counts"][:-1], found["counts"] * 0):
        checkpoint.save("bad.run.safetensors", {**found, "counts": changed})
        done = run("plot", "bad.safetensors")
        assert done.status == 1 and "bad.run.safetensors is no whole check" in done.err
    done = run("sample", "names.run.safetensors")
    assert done.status == 1 and "not that of a run" in done.err
    done = run("sample", "names.safetensors", "--temperature", "-1")
    assert done.status == 1 and "temperature" in done.err


def test_standard_streams_that_are_closed(
    run: Callable[..., Run], names: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a service may start it, or a shell with <&- and >&-: Python has None there."""
    monkeypatch.setattr(sys, "stdin", None)
    done = run("train", "-", *TINY)
    said = "python -m seq: standard input is closed; name a file to read\n"
    assert (done.status, done.err) == (1, said)
    monkeypatch.setattr(sys, "stdout", None)
    assert run("train", "names.txt", *TINY).status == 0


def test_help_has_examples(run: Callable[..., Run]) -> None:
    done = run("--help")
    assert done.status == 0
    assert "python -m seq train names.txt" in done.out
    for command in ("train", "sample", "score", "plot"):
        assert command in done.out
        assert run(command, "--help").status == 0


def test_ctrl_c_and_resume_are_the_run_without_them(
    run: Callable[..., Run], names: Path, tmp_path: Path
) -> None:
    """In processes of their own, each interrupted as soon as it has a checkpoint."""
    words = ["train", "names.txt", "--hidden", "8", "--batch", "4", "--epochs", "60"]
    words += ["--patience", "60", "--dropout", "0.2", "--out"]
    assert run(*words, "whole.safetensors").status == 0
    command = [sys.executable, "-u", "-m", "seq", *words, "cut.safetensors"]
    checkpoint = tmp_path / "cut.run.safetensors"
    for resume in ([], ["--resume"], ["--resume"]):
        error = interrupted([*command, *resume], tmp_path, checkpoint)
        assert re.search(rb"stopped after step \d+; cut\.run\.safetensors has", error)
        assert run("sample", "cut.safetensors").status == 0
    assert run(*words, "cut.safetensors", "--resume").status == 0
    for end in ("safetensors", "run.safetensors"):  # the model, and all of its run
        whole, cut = (tmp_path / f"{name}.{end}" for name in ("whole", "cut"))
        assert whole.read_bytes() == cut.read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--seed", 1], "--seed was 0, and is 1 now"),
        (["--lr", 0.01], "--lr was 0.003, and is 0.01 now"),
        (["--batch", 3, "--clip", 2], "--batch was 4, .* 3 now; --clip was 1.0, "),
        (["--held-out", 0.2], "--held-out was 0.1, and is 0.2 now"),
        (["--text"], "--text was False, and is True now"),
        (["--dropout", 0.5], "--dropout was 0.0, and is 0.5 now"),
        (["--embedding", 3], "--embedding was 0, and is 3 now"),
        (["--level", "word", "--min-count", 2], "--level was 'char', .*; --min-count"),
        (["--max-size", 50], "--max-size was None, and is 50 now"),
        (["--cell", "gru", "--hidden", 9], "--cell was 'lstm', .*; --hidden was 8, "),
        (["--layers", 2, "--window", 9], "--layers was 1, .* 2 now; --window was "),
    ],
)
def test_resume_refuses_other_options(
    run: Callable[..., Run], names: Path, options: list[Any], message: str
) -> None:
    assert run("train", "names.txt", *TINY).status == 0
    before = Path("names.safetensors").read_bytes()
    done = run("train", "names.txt", *TINY, *options, "--resume")
    assert done.status == 1 and re.search(message, done.err), done.err
    assert Path("names.safetensors").read_bytes() == before
    assert run("train", "names.txt", *TINY, "--epochs", 3, "--resume").status == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ([*NAMES, "zoe zzzzzz"], r"vocabulary\[\d+\] was '.', and is 'z' now"),
        ([*NAMES, "anna"], r"tokens to learn from was \d+, and is \d+ now"),
        (
            [NAMES[0], NAMES[1][::-1], *NAMES[2:]],
            r"settings: checksum of the tokens was \d+, and is \d+ now",
        ),
    ],
)
def test_resume_refuses_another_text(
    run: Callable[..., Run], names: Path, text: list[str], message: str
) -> None:
    """Its tokens would have other numbers, and its lines other places."""
    assert run("train", "names.txt", *TINY).status == 0
    names.write_text("\n".join(text), "utf-8")
    done = run("train", "names.txt", *TINY, "--resume")
    assert done.status == 1 and re.search(message, done.err), done.err


def interrupted(command: list[str], folder: Path, checkpoint: Path) -> bytes:
    """What a command says that gets a Ctrl-C when it has written the checkpoint."""

    def written() -> int:
        return checkpoint.stat().st_ino if checkpoint.exists() else 0

    before = written()
    place = str(Path(minigrad.__file__).parents[1])
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": place},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    while process.poll() is None and written() == before:
        pass
    process.send_signal(signal.SIGINT)
    _, error = process.communicate()
    assert process.returncode == 130, error
    return error


def test_who_reads_the_output_may_stop(run: Callable[..., Run], names: Path) -> None:
    assert run("train", "names.txt", *TINY).status == 0
    place = str(Path(minigrad.__file__).parents[1])
    process: Any = subprocess.Popen(
        [sys.executable, "-m", "seq", "sample", "names.safetensors"],
        env={**os.environ, "PYTHONPATH": place},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 0
    process.stderr.close()
