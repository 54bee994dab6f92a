"""A table of bad calls: what is called, and below it the error that must come."""

from typing import Any

import pytest

from minigrad import errors


def table(text: str) -> list[Any]:
    """The cases of a table, each a call, an error class and a part of its message."""
    lines = text.strip().splitlines()
    cases = []
    for call, answer in zip(lines[::2], lines[1::2], strict=True):
        error, message = answer.strip().split(": ", 1)
        cases.append(pytest.param(call, error, message, id=call))
    return cases


def check(call: str, error: str, message: str, names: dict[str, Any]) -> None:
    """Make a call: its error is a named one, and says something of its own."""
    with pytest.raises(errors.MinigradError) as caught:
        eval(call, dict(names))
    assert type(caught.value).__name__ == error
    assert message in str(caught.value)
    assert str(caught.value) != str(caught.value.__cause__)
