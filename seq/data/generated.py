"""Small stand-ins for the public sets: the same types, and a structure to be learned.

They are for a script that has no data. No number found on them says anything of a real
task. Every function draws from a numpy Generator.
"""

from typing import Any

import numpy as np

from seq.data.readers import FRAME, KEYS, Labelled, Tagged

Array = np.ndarray[Any, Any]
Random = np.random.Generator

_THINGS = [
    "food",
    "film",
    "phone",
    "service",
    "sound",
    "plot",
    "screen",
    "staff",
    "battery",
    "story",
]
_GOOD = ["good", "great", "lovely", "excellent", "fine", "wonderful"]
_BAD = ["bad", "awful", "poor", "terrible", "dull", "broken"]


def sentences(n: int, rng: Random) -> Labelled:
    """Opinions, with negations that turn them: for `sentiment`."""
    texts, labels = [], []
    for _ in range(n):
        label, turned = rng.integers(2, size=2)
        word = rng.choice(_GOOD if label != turned else _BAD)
        verb = "was not" if turned else "was"
        opening = rng.choice(["the", "i think the", "well , the", "my"])
        end = rng.choice(["", " at all", " , really", " and that is all"])
        texts.append(f"{opening} {rng.choice(_THINGS)} {verb} {word}{end}")
        labels.append(int(label))
    return Labelled(texts, np.array(labels), ["negative", "positive"])


_LANGUAGES = {
    "Northern": (["thor", "bjorn", "hal", "sig", "var", "gun"], ["sen", "son", "dal"]),
    "Southern": (["mar", "bel", "ros", "cal", "don", "fer"], ["elli", "ini", "etti"]),
    "Eastern": (["pet", "iv", "vol", "dmit", "sok", "mor"], ["ov", "enko", "sky"]),
    "Island": (["ka", "mo", "ta", "ni", "ha", "ru"], ["moto", "yama", "kawa"]),
}


def surnames(n: int, rng: Random) -> Labelled:
    """Names of four languages, each with syllables and endings: for names_by_language.

    One in ten has an ending of another language.
    """
    parts = list(_LANGUAGES.values())
    labels = rng.integers(len(parts), size=n)
    names = []
    for label in labels:
        of = rng.integers(len(parts)) if rng.random() < 0.1 else label
        stem = "".join(rng.choice(parts[label][0], rng.integers(1, 3)))
        names.append(str(stem + rng.choice(parts[of][1])).capitalize())
    return Labelled(names, labels, list(_LANGUAGES))


def promoters(n: int, rng: Random) -> Labelled:
    """57 bases, with the boxes TTGACA and TATAAT 17 apart in half of them.

    Each base of a box is another one in one of six; the pair starts anywhere.
    """
    labels = np.arange(n) % 2
    strings = []
    for label in labels:
        bases = rng.choice(list("ACGT"), 57)
        start = rng.integers(0, 57 - 29)
        for place, box in ((start, "TTGACA"), (start + 23, "TATAAT")):
            keep = (rng.random(6) > 1 / 6) & bool(label)
            bases[place : place + 6][keep] = np.array(list(box))[keep]
        strings.append("".join(bases))
    return Labelled(strings, labels, ["-", "+"])


def splice_junctions(n: int, rng: Random) -> Labelled:
    """60 bases: GT after the middle (EI), a run of C and T, and AG, before it (IE)."""
    labels = rng.choice(3, n, p=[0.25, 0.25, 0.5])
    strings = []
    for label in labels:
        bases = rng.choice(list("ACGT"), 60)
        if label == 0:
            bases[27:36] = _mutated("CAGGTAAGT", 0.15, rng)
        elif label == 1:
            bases[10:27] = rng.choice(list("CT"), 17)
            bases[27:31] = _mutated("CAGG", 0.1, rng)
        else:
            bases[30:32] = list("GT") if rng.random() < 0.5 else bases[30:32]
        strings.append("".join(bases))
    return Labelled(strings, labels, ["EI", "IE", "N"])


def _mutated(motif: str, rate: float, rng: Random) -> Array:
    other = rng.choice(list("ACGT"), len(motif))
    return np.where(rng.random(len(motif)) < rate, other, list(motif))


def voices(n: int, rng: Random, speakers: int = 9) -> Labelled:
    """Frames of speakers who differ in mean and glide: for `japanese_vowels`."""
    of_all = np.random.default_rng(0)
    means = of_all.normal(0, 0.25, (speakers, FRAME))
    turns = of_all.normal(0, 0.5, (speakers, FRAME))
    labels = np.arange(n) % speakers
    examples = []
    for label in labels:
        t = np.linspace(0, 1, rng.integers(7, 30))[:, None]
        glide = np.sin(2 * np.pi * (t + rng.random() / 4)) * turns[label]
        noise = rng.normal(0, 0.25, (len(t), FRAME)).cumsum(0) / 3
        examples.append((means[label] + glide + noise).astype(np.float32))
    return Labelled(examples, labels, [f"speaker {i + 1}" for i in range(speakers)])


_CHORDS = {"I": (0, 4, 7), "IV": (5, 9, 12), "V": (7, 11, 14), "vi": (9, 12, 16)}
_NEXT = {"I": ["IV", "V", "vi"], "IV": ["V", "I"], "V": ["I", "I", "vi"], "vi": ["IV"]}


def pieces(n: int, rng: Random) -> dict[str, list[Array]]:
    """Cadences in a key, four voices, two steps a chord: for `chorales`."""

    def piece() -> Array:
        key, chord = rng.integers(26, 38), "I"
        roll = np.zeros((2 * rng.integers(12, 30), KEYS), np.bool_)
        for t in range(0, len(roll), 2):
            root, third, fifth = (key + note for note in _CHORDS[chord])
            high = root + 12 if rng.random() < 0.7 else third + 12
            roll[t : t + 2, [root - 12, third, fifth, high]] = True
            chord = str(rng.choice(_NEXT[chord]))
        return roll

    sizes = {"train": n, "valid": max(n // 4, 1), "test": max(n // 4, 1)}
    return {part: [piece() for _ in range(size)] for part, size in sizes.items()}


_PEOPLE = ["anna", "boris", "clara", "david", "emma", "felix", "greta", "hugo"]
_FAMILY = ["berg", "stone", "field", "wood", "hill", "lake"]
_PLACES = ["london", "paris", "vienna", "madrid", "oslo", "rome"]
_PHRASES = [
    "i met {p} in {q} today",
    "{p} says hello to everyone",
    "we flew to {q} with {p}",
    "have you seen {p} ?",
    "the weather in {q} is fine",
    "so {p} and {p} were there",
]


def entities(n: int, rng: Random) -> list[Tagged]:
    """Short messages with people and places, most in capitals: for `conll`."""
    found = []
    for _ in range(n):
        sentence = Tagged([], [])
        for word in str(rng.choice(_PHRASES)).split():
            words, kind = [word], ""
            if word == "{p}":
                family = str(rng.choice(_FAMILY)) + str(rng.choice(["", "er", "son"]))
                kind, words = "person", [str(rng.choice(_PEOPLE)), family]
                words = words[: rng.integers(1, 3)]
            elif word == "{q}":
                kind, words = "location", [str(rng.choice(_PLACES))]
            for i, part in enumerate(words):
                big = bool(kind) and rng.random() < 0.8
                sentence.words.append(part.capitalize() if big else part)
                sentence.tags.append(f"{'I' if i else 'B'}-{kind}" if kind else "O")
        found.append(sentence)
    return found
