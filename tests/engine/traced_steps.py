"""Steps that are run fused and not, for the tests of when they are traced."""

import minigrad as mg
from conformance.policy import FLOAT64_RTOL, relative_error

T, B, N = 4, 3, 2


def draw(*shape, seed=0):
    return mg.randn(*shape, dtype=mg.float64, generator=seed)


def check(step, batch=B, n_steps=T, n=N, seed=0, leaves=(), **options):
    """The fused scan is the loop of single ops, with the gradients by the leaves."""
    x, h = draw(n_steps, batch, n, seed=seed), draw(batch, n, seed=seed + 1)
    found = []
    for eager in (False, True):
        x, h = x.detach().requires_grad_(), h.detach()
        if eager:
            with mg.eager_loops():
                end, ys = mg.scan(step, h, x, **options)
        else:
            end, ys = mg.scan(step, h, x, **options)
        loss = (end * end).sum() + ys.sum()
        found.append([end, ys, *mg.grad(loss, [x, *leaves])])
    for a, b in zip(*found, strict=True):
        assert relative_error(a.detach(), b.detach()) <= FLOAT64_RTOL
