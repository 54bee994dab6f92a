"""Piano rolls as MIDI files, with mido."""

import io
from typing import Any

import numpy as np

from minigrad.errors import ArgumentError, MissingExtraError
from seq.files import FilePath, write_whole

TICKS = 480
"""Ticks in a quarter note."""
LOUDNESS = 72


def write(path: FilePath, roll: Any, lowest: int, bpm: float = 84.0) -> None:
    """Write a roll, bool (T, keys), as a MIDI file, a quarter note a step.

    A key that sounds at steps in a row is held. lowest: the MIDI number of key 0; bpm:
    quarter notes a minute. The file is written whole or not at all. Raises
    MissingExtraError without mido, ArgumentError for keys that MIDI doesn't have.
    """
    try:
        import mido
    except ImportError as error:
        raise MissingExtraError(
            "MIDI files need mido; install it with: pip install 'minigrad[music]'"
        ) from error
    roll = np.asarray(roll, np.bool_)
    if roll.ndim != 2 or lowest < 0 or lowest + roll.shape[1] > 128:
        raise ArgumentError(
            f"a roll must be (T, keys), with keys within 0..127; got {roll.shape} "
            f"from {lowest} on"
        )
    if not 4 <= bpm <= 60_000_000:  # MIDI has 24 bits for the microseconds of a quarter
        raise ArgumentError(f"bpm must be from 4 to 60,000,000, got {bpm}")
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(bpm))])
    silence = np.zeros((1, roll.shape[1]), np.bool_)
    changes = np.diff(np.concatenate([silence, roll, silence]).astype(int), axis=0)
    since = 0
    for step, change in enumerate(changes):
        for sign, kind in ((-1, "note_off"), (1, "note_on")):
            for key in np.flatnonzero(change == sign):
                note, wait = lowest + int(key), (step - since) * TICKS
                sound = {"note": note, "velocity": LOUDNESS, "time": wait}
                track.append(mido.Message(kind, **sound))
                since = step
    file = mido.MidiFile(tracks=[track], ticks_per_beat=TICKS)
    buffer = io.BytesIO()
    file.save(file=buffer)
    write_whole(path, buffer.getvalue())
