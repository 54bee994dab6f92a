"""Small texts with a structure to learn, for who has no data at hand.

What a line ends with depends on how it begins, farther back than counts of a few
characters or words can see: a model has to remember.
"""

import random
from collections.abc import Iterator

STARTS = [("ka", "lo", "mi"), ("bra", "sto", "gri"), ("the", "sha", "chu")]
MIDDLES = ["ra", "ne", "lin", "do", "var", "te", "so"]
ENDS = ["saurus", "iel", "wen"]

NOUNS = ["cat", "dog", "bird", "teacher", "student", "king", "horse", "friend"]
ADJECTIVES = ["old", "small", "quiet", "young", "clever"]
VERBS = [("was", "were"), ("has", "have"), ("likes", "like"), ("sees", "see")]
OBJECTS = ["full", "the river", "a secret", "some bread", "the way home", "tired"]


def names(n: int, seed: int = 0) -> Iterator[str]:
    """Names: the end goes with the start, whatever stands between."""
    rng = random.Random(seed)
    for _ in range(n):
        kind = rng.randrange(len(STARTS))
        middle = rng.choices(MIDDLES, k=rng.randint(2, 4))
        yield "".join([rng.choice(STARTS[kind]), *middle, ENDS[kind]])


def sentences(n: int, seed: int = 0) -> Iterator[str]:
    """Sentences: one cat, which the dogs see, was full; two cats were."""
    rng = random.Random(seed)
    for _ in range(n):
        number = rng.randrange(2)
        between = f", which {_subject(rng, 1)} {rng.choice(VERBS)[1]}," * rng.randrange(
            2
        )
        verb = rng.choice(VERBS)[number]
        yield f"{_subject(rng, number)}{between} {verb} {rng.choice(OBJECTS)}."


def _subject(rng: random.Random, number: int) -> str:
    words = ["the", *rng.sample(ADJECTIVES, rng.randrange(3)), rng.choice(NOUNS)]
    return " ".join(words) + "s" * number
