"""Files good and bad, and what fetches them, from a server on loopback."""

import hashlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad.errors import ArgumentError
from seq import data
from seq.data import fetching, generated
from seq.data.errors import DataError, MissingDataError
from seq.data.fetching import Source, fetch, sources
from seq.data.files import VARIABLE, read_text


@pytest.fixture
def put(tmp_path: Path) -> Callable[[str | bytes], Path]:
    """Write a file, and say where it is."""

    def write(content: str | bytes) -> Path:
        path = tmp_path / "file"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


Put = Callable[[str | bytes], Path]

# -- files -----------------------------------------------------------------------------


def test_the_folder_is_an_argument_or_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(MissingDataError, match=f"or set {VARIABLE}"):
        data.find("a.txt")
    with pytest.raises(MissingDataError, match=r"a.txt does not exist"):
        data.find("a.txt", tmp_path)
    (tmp_path / "a.txt").write_text("a")
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert data.find("a.txt") == data.find("a.txt", tmp_path) == tmp_path / "a.txt"


def test_line_ends_and_a_mark_of_the_encoding_do_not_matter(put: Put) -> None:
    path = put(b"\xef\xbb\xbfanna\r\n\r\n \xc3\x89mile \r\n")
    assert data.text_lines(path) == ["anna", "Émile"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "file is empty"),
        (b"\n \n", "file is empty"),
        (b"one\ntwo\n\xe9t\xe9\n", "line 3 is not UTF-8"),
        (b"one\ntw\0o\n", "line 2 holds a NUL"),
    ],
)
def test_what_is_no_text_is_named(put: Put, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        data.text_lines(put(content))


def test_a_missing_file_and_a_directory(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(MissingDataError, match="can't read"):
            read_text(path)


# -- formats ---------------------------------------------------------------------------


def test_languages_are_files(tmp_path: Path) -> None:
    (tmp_path / "B.txt").write_text("Böll\nBach\n", "utf-8")
    (tmp_path / "A.txt").write_text("Ali\n")
    found = data.names_by_language(tmp_path)
    assert found.examples == ["Ali", "Böll", "Bach"]
    assert (found.labels.tolist(), found.classes) == ([0, 1, 1], ["A", "B"])
    with pytest.raises(DataError, match="holds no"):
        data.names_by_language(tmp_path / "nothing")


def test_sentiment(put: Put) -> None:
    path = put("It was\tgood. \t1\nNo\x85way.\t0\n")
    found = data.sentiment([path, path])
    assert found.examples == ["It was\tgood.", "No\x85way."] * 2
    assert found.labels.tolist() == [1, 0, 1, 0]


def test_dna(put: Put) -> None:
    found = data.promoters(put(f"+,S10,\t\t{'tacg' * 14}t\n-, 12,{'a' * 57}\n"))
    assert found.examples == ["TACG" * 14 + "T", "A" * 57]
    assert found.labels.tolist() == [1, 0]
    for titles in ("label,name,sequence\n", ""):
        lines = f"{titles}IE,  X,   {'ACGT' * 15}\nN, Y,{'D' * 60}\n"
        found = data.splice_junctions(put(lines))
        assert found.examples == ["ACGT" * 15, "D" * 60]
        assert found.labels.tolist() == [1, 2]


@pytest.mark.parametrize("end", ["\n", " \r\n \r\n", "1.0 " * 12 + "\n"])
def test_vowels_end_with_a_blank_line_or_with_ones(put: Put, end: str) -> None:
    frames = [" ".join(f"{i}.5" for _ in range(12)) + "\n" for i in range(5)]
    path = put("".join([*frames[:2], end, *frames[2:], end]))
    found = data.japanese_vowels(path, [0, 1, 1])
    assert [x.shape for x in found.examples] == [(2, 12), (3, 12)]
    assert found.examples[1][:, 0].tolist() == [2.5, 3.5, 4.5]
    assert found.labels.tolist() == [1, 2]
    with pytest.raises(DataError, match="has 2 utterances; counts add up to 3"):
        data.japanese_vowels(path, [3])


def test_chorales(put: Put) -> None:
    text = json.dumps({"train": [[[21, 108], []]], "valid": [], "test": [[[60]]]})
    found = data.chorales(put(text))
    (piece,) = found["train"]
    assert (piece.shape, piece.dtype) == ((2, 88), np.bool_)
    assert np.argwhere(piece).tolist() == [[0, 0], [0, 87]]


def test_conll(put: Put) -> None:
    path = put("@you\tO\nAnna\tB-person\nLee\tI-person\n\t\nEnd\tO\n\n\n")
    first, second = data.conll(path)
    assert first == (["@you", "Anna", "Lee"], ["O", "B-person", "I-person"])
    assert second == (["End"], ["O"])


GOOD_FRAME = " ".join(["0.5"] * 12)


@pytest.mark.parametrize(
    ("read", "content", "message"),
    [
        (lambda p: data.sentiment([p]), "fine\t1\nno label\n", "line 2 must be a sent"),
        (lambda p: data.sentiment([p]), "fine\t2\n", "line 1 must be a sentence"),
        (data.promoters, "+,S10,acgt\n", "line 1 must have 57 bases"),
        (data.promoters, "*,S10," + "a" * 57, "line 1 must be one of -, [+]"),
        (data.promoters, "+,S10," + "x" * 57, "line 1 must have 57 bases"),
        (data.splice_junctions, "title\nEI,x\n", "line 2 must be one of EI, IE, N"),
        (
            lambda p: data.japanese_vowels(p, [1]),
            f"{GOOD_FRAME}\n1 2 x\n",
            "line 2 must be numbers",
        ),
        (
            lambda p: data.japanese_vowels(p, [1]),
            "1 2 3\n",
            "line 1 must be 12 finite",
        ),
        (
            lambda p: data.japanese_vowels(p, [1]),
            GOOD_FRAME.replace("0.5", "nan", 1),
            "line 1 must be 12 finite",
        ),
        (data.chorales, '{"train": [\n', "line 2 is no JSON"),
        (data.chorales, "[" * 100_000, "is no JSON that can"),
        (data.chorales, "9" * 5_000, "is no JSON that can"),
        (data.chorales, '{"train": []}', "must hold train, valid and test"),
        (data.chorales, "[1]", "must hold train, valid and test"),
        (
            data.chorales,
            '{"train": [[[60], [20]]], "valid": [], "test": []}',
            r"train\[0\], chord 1 must be MIDI numbers 21..108",
        ),
        (
            data.chorales,
            '{"train": [[["C"]]], "valid": [], "test": []}',
            "chord 0 must be MIDI numbers",
        ),
        (
            data.chorales,
            '{"train": [[7]], "valid": [], "test": []}',
            "chord 0 must be MIDI numbers",
        ),
        (
            data.chorales,
            '{"train": 7, "valid": [], "test": []}',
            "must hold train, valid and test",
        ),
        (data.conll, "word\tO\nword O\n", "line 2 must be a word, a tab"),
        (data.conll, "word\tX-person\n", "line 1 must be a word, a tab"),
    ],
)
def test_a_malformed_file_is_named_with_its_line(
    put: Put, read: Callable[[Path], Any], content: str, message: str
) -> None:
    path = put(content)
    with pytest.raises(DataError, match=message) as caught:
        read(path)
    assert str(path) in str(caught.value)


# -- stand-ins -------------------------------------------------------------------------


def test_stand_ins_are_what_the_readers_give_and_seeded() -> None:
    def draw(seed: int) -> list[Any]:
        makers = ("sentences", "surnames", "promoters", "splice_junctions", "voices")
        rng = np.random.default_rng(seed)
        return [getattr(generated, name)(40, rng) for name in makers]

    for found, again, other in zip(draw(0), draw(0), draw(1), strict=True):
        assert len(found.examples) == len(found.labels) == 40
        assert set(found.labels) == set(range(len(found.classes)))
        assert repr(found) == repr(again) != repr(other)
    promoters, splices = draw(0)[2:4]
    assert {len(s) for s in promoters.examples} == {57}
    assert {len(s) for s in splices.examples} == {60}
    assert set("".join(promoters.examples + splices.examples)) == set("ACGT")
    pieces = generated.pieces(8, np.random.default_rng(0))
    assert {roll.shape[1] for part in pieces.values() for roll in part} == {88}
    for words, tags in generated.entities(40, np.random.default_rng(0)):
        assert len(words) == len(tags)


# -- fetching --------------------------------------------------------------------------

CONTENT = b"some data\n" * 1000


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT, whole or broken off, as the path asks."""

    def do_GET(self) -> None:
        if self.path.startswith("/gone"):
            self.send_error(404)
            return
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        broken = self.path.startswith("/broken")
        self.wfile.write(CONTENT[: len(CONTENT) // 2] if broken else CONTENT)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A server on loopback, and a table with one set, of one file, at its root."""
    set_table(monkeypatch, hashlib.sha256(CONTENT).hexdigest())
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        running: Any = made
        running.asked = []
        running.origin = f"http://127.0.0.1:{running.server_port}"
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def set_table(monkeypatch: pytest.MonkeyPatch, checksum: str) -> None:
    source = Source("toy", "part/toy.txt", "who/what", "abc", "a/b.txt", "1", checksum)
    monkeypatch.setattr(fetching, "sources", lambda: {"toy": [source]})


def test_a_set_is_fetched_once(server: Any, tmp_path: Path) -> None:
    (path,) = fetch("toy", tmp_path, server.origin)
    assert path == tmp_path / "part" / "toy.txt"
    assert path.read_bytes() == CONTENT
    assert fetch("toy", tmp_path, server.origin) == [path]
    assert server.asked == ["/who/what/abc/a/b.txt"]


def test_a_wrong_checksum_leaves_nothing(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_table(monkeypatch, "0" * 64)
    with pytest.raises(DataError, match="is not the pinned file: its checksum"):
        fetch("toy", tmp_path, server.origin)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("trouble", ["broken", "gone"])
def test_a_broken_transfer_leaves_nothing(
    server: Any, tmp_path: Path, trouble: str
) -> None:
    with pytest.raises(MissingDataError, match=r"toy.txt could not be fetched from"):
        fetch("toy", tmp_path, f"{server.origin}/{trouble}")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_no_network(server: Any, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(MissingDataError, match="put the file into"):
        fetch("toy", tmp_path, f"http://127.0.0.1:{port}")


def test_a_file_of_the_users_own_is_left_alone(server: Any, tmp_path: Path) -> None:
    path = tmp_path / "part" / "toy.txt"
    path.parent.mkdir()
    path.write_text("mine")
    with pytest.raises(DataError, match="is not the pinned file"):
        fetch("toy", tmp_path, server.origin)
    assert path.read_text() == "mine"
    assert not server.asked


def test_the_table_is_whole() -> None:
    with pytest.raises(ArgumentError, match="no set 'toys'; there are chorales"):
        fetch("toys", "anywhere")
    rows = [source for group in sources().values() for source in group]
    assert len({row.file for row in rows}) == len(rows) > 20
    for row in rows:
        assert len(row.sha256) == 64 and int(row.bytes) > 0
        assert len(row.commit) in (7, 40) and row.repository.count("/") == 1
