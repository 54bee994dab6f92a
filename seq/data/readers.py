"""The formats of the public sets, read into lists and arrays."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from seq.data.errors import DataError
from seq.data.files import malformed, numbered_lines, read_text

Array = np.ndarray[Any, Any]

LOWEST, KEYS = 21, 88
"""The MIDI number of a piano's lowest key, and how many keys it has."""
FRAME = 12
"""Cepstral coefficients in a frame of the Japanese vowels."""


class Labelled(NamedTuple):
    """Examples, the class of each, int64 (N,), and the names of the classes."""

    examples: list[Any]
    labels: Array
    classes: list[str]


class Tagged(NamedTuple):
    """A sentence: its words, and the tag of each."""

    words: list[str]
    tags: list[str]


def text_lines(path: str | Path) -> list[str]:
    """The lines that hold something, without the white space around it.

    One name a line: `dinos.txt`, `names_makemore.txt`. Raises as `read_text`, and
    DataError for an empty file.
    """
    return [line.strip() for _, line in numbered_lines(path) if line.strip()]


def names_by_language(folder: str | Path) -> Labelled:
    """A file a language, a name a line: the names, labelled by the file's name."""
    paths = sorted(Path(folder).glob("*.txt"))
    if not paths:
        raise DataError(f"{folder} holds no .txt files, one for each language")
    found = [text_lines(path) for path in paths]
    labels = np.repeat(np.arange(len(paths)), [len(names) for names in found])
    return Labelled(
        [name for names in found for name in names],
        labels,
        [path.stem for path in paths],
    )


def sentiment(paths: Sequence[str | Path]) -> Labelled:
    """Lines of a sentence, a tab and 0 or 1, from one or more files.

    Kotzias et al. (2015), "From Group to Individual Labels using Deep Features".
    """
    texts, labels = [], []
    for path in paths:
        for number, line in numbered_lines(path):
            text, tab, label = line.rpartition("\t")
            if not tab or label.strip() not in ("0", "1"):
                raise malformed(path, number, "must be a sentence, a tab and 0 or 1")
            texts.append(text.strip())
            labels.append(int(label))
    return Labelled(texts, np.array(labels), ["negative", "positive"])


def promoters(path: str | Path) -> Labelled:
    """Lines of + or -, a name and 57 bases: DNA in which a gene starts (+), or not.

    Towell, Shavlik & Noordewier (1990); "UCI Molecular Biology, Promoter Gene
    Sequences". Bases are given in capitals.
    """
    return _bases(path, ["-", "+"], 57, titled=False)


def splice_junctions(path: str | Path) -> Labelled:
    """Lines of EI, IE or N, a name and 60 bases; before them a line of titles, or none.

    Noordewier, Towell & Shavlik (1991): whether the middle is where an exon ends (EI),
    starts (IE), or neither. D, N, R and S stand for bases that are not known.
    """
    return _bases(path, ["EI", "IE", "N"], 60, titled=True)


def _bases(path: str | Path, classes: list[str], length: int, titled: bool) -> Labelled:
    strings, labels = [], []
    for number, line in numbered_lines(path):
        fields = [field.strip() for field in line.split(",")]
        if titled and number == 1 and fields[0] not in classes:
            continue
        if len(fields) != 3 or fields[0] not in classes:
            kinds = ", ".join(classes)
            raise malformed(path, number, f"must be one of {kinds}, a name and bases")
        bases = fields[2].upper()
        if len(bases) != length or set(bases) - set("ACGTDNRS"):
            problem = f"must have {length} bases of ACGT (or DNRS), has {fields[2]!r}"
            raise malformed(path, number, problem)
        strings.append(bases)
        labels.append(classes.index(fields[0]))
    return Labelled(strings, np.array(labels, np.int64), classes)


def japanese_vowels(path: str | Path, counts: Sequence[int]) -> Labelled:
    """Utterances as float32 (T, 12), a line a frame.

    A blank line, or a line of ones, ends an utterance: copies have one, the other or
    both. counts: how many are by each speaker, one after the other.
    Kudo, Toyama & Shimbo (1999), "Multidimensional curve classification ...".
    """
    blocks: list[list[list[float]]] = [[]]
    for number, line in numbered_lines(path):
        if not line.strip():
            blocks.append([])
            continue
        try:
            frame = [float(word) for word in line.split()]
        except ValueError:
            raise malformed(path, number, "must be numbers") from None
        if len(frame) != FRAME or not np.isfinite(frame).all():
            raise malformed(path, number, f"must be {FRAME} finite numbers")
        if all(value == 1.0 for value in frame):
            blocks.append([])
        else:
            blocks[-1].append(frame)
    utterances = [np.array(block, np.float32) for block in blocks if block]
    if len(utterances) != sum(counts):
        raise DataError(
            f"{path} has {len(utterances)} utterances; counts add up to {sum(counts)}"
        )
    labels = np.repeat(np.arange(len(counts)), counts)
    speakers = [f"speaker {i + 1}" for i in range(len(counts))]
    return Labelled(list(utterances), labels, speakers)


def chorales(path: str | Path) -> dict[str, list[Array]]:
    """Pieces by part (train, valid, test), each bool (T, 88): the keys that sound.

    JSON of lists of chords, a chord a list of MIDI numbers. Boulanger-Lewandowski,
    Bengio & Vincent (2012); Allan & Williams (2005).
    """
    try:
        found = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise malformed(path, error.lineno, f"is no JSON: {error.msg}") from None
    except (RecursionError, ValueError) as error:  # too deep, or too long a number
        raise DataError(f"{path} is no JSON that can be read: {error}") from None
    names = ("train", "valid", "test")
    parts: list[Any] = [None]
    if isinstance(found, dict):
        parts = [found.get(name) for name in names]
    if not all(map(_is_list_of_lists, parts)):
        raise DataError(f"{path} must hold train, valid and test, lists of pieces")
    return {
        name: [_roll(path, f"{name}[{i}]", piece) for i, piece in enumerate(pieces)]
        for name, pieces in zip(names, parts, strict=True)
    }


def _is_list_of_lists(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, list) for item in value)


def _roll(path: str | Path, where: str, piece: Any) -> Array:
    """A piece as the keys that sound at each step."""
    roll = np.zeros((len(piece), KEYS), np.bool_)
    for t, chord in enumerate(piece):
        notes = chord if isinstance(chord, list) else [None]
        keys = [note - LOWEST if type(note) is int else -1 for note in notes]
        if not all(0 <= key < KEYS for key in keys):
            raise DataError(
                f"{path}, {where}, chord {t} must be MIDI numbers "
                f"{LOWEST}..{LOWEST + KEYS - 1}, is {chord}"
            )
        roll[t, keys] = True
    return roll


def conll(path: str | Path) -> list[Tagged]:
    """Sentences of lines of a word, a tab and its tag (O, B-kind, I-kind).

    A line without a word ends a sentence. Derczynski et al. (2017), W-NUT 2017.
    """
    sentences = [Tagged([], [])]
    for number, line in numbered_lines(path):
        if not line.strip():
            sentences.append(Tagged([], []))
            continue
        word, tab, tag = line.strip("\r ").partition("\t")
        if not tab or not word or not (tag == "O" or tag[:2] in ("B-", "I-")):
            raise malformed(path, number, "must be a word, a tab and O, B-… or I-…")
        sentences[-1].words.append(word)
        sentences[-1].tags.append(tag)
    return [sentence for sentence in sentences if sentence.words]
