"""Large products, by the loop's kernels: numpy's numbers, whatever the layout."""

import numpy as np
import pytest

import minigrad as mg
from conformance.policy import EXACT, FLOAT64_RTOL, exact_error, relative_error

LAYOUTS = {
    "rows": lambda a: a,
    "columns": np.asfortranarray,
    "every other": lambda a: np.repeat(a, 2, 1)[:, ::2],
    "expanded": lambda a: np.broadcast_to(a[:, :1], a.shape),
}


@pytest.mark.parametrize("right", LAYOUTS)
@pytest.mark.parametrize("left", LAYOUTS)
@pytest.mark.parametrize("shape", [(64, 64, 64), (1, 513, 512), (700, 1, 400)], ids=str)
def test_a_large_product_is_numpys(shape, left, right):
    m, k, n = shape
    rng = np.random.default_rng(0)
    x = LAYOUTS[left](rng.standard_normal((m, k)))
    y = LAYOUTS[right](rng.standard_normal((k, n)))
    found = mg.ops.matmul.forward(x, y)
    assert found.shape == (m, n) and found.flags.c_contiguous
    assert relative_error(found, x @ y) <= FLOAT64_RTOL
    if left != "columns":  # no other kernel, which would wait for threads of its own
        alike = mg.ops.matmul.forward(x.copy(), y)
        assert exact_error(found, alike) == EXACT
    leaves = [mg.tensor(a, requires_grad=True) for a in (x, y)]
    g = rng.standard_normal((m, n))
    dx, dy = mg.grad(leaves[0] @ leaves[1], leaves, mg.tensor(g))
    assert relative_error(dx, g @ y.T) <= FLOAT64_RTOL
    assert relative_error(dy, x.T @ g) <= FLOAT64_RTOL


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_what_is_not_finite_stays_in_its_row(bad):
    x = np.ones((64, 64), np.float32)
    x[3, 5] = bad
    found = mg.tensor(x) @ mg.ones(64, 64)
    assert np.isfinite(np.delete(found.numpy(), 3, 0)).all()
    assert not np.isfinite(found.numpy()[3]).any()
