"""What tests of several rooms share."""

from collections.abc import Iterator

import pytest

from minigrad.op import OPS


@pytest.fixture
def op_table() -> Iterator[None]:
    """An op that is added in a test must not be met by the tests that follow."""
    before = dict(OPS)
    yield
    OPS.clear()
    OPS.update(before)
