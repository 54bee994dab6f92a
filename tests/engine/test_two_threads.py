"""Two Python threads that train two models at once: each as if it were alone."""

import sys
import threading

import numpy as np
import pytest

import minigrad as mg
from minigrad import _backend

WIDTH = 160  # its square is past the size from which kernels let others run
STEPS = 8


def train(seed, found):
    """Layers, softmax, layer norm, a gather and Adam; every loss, and the weights."""
    rng = np.random.default_rng(seed)
    x = mg.tensor(rng.standard_normal((WIDTH, WIDTH)).astype(np.float32))
    labels = mg.tensor(rng.integers(0, WIDTH, WIDTH))
    first = mg.nn.Linear(WIDTH, WIDTH, generator=seed)
    norm = mg.nn.LayerNorm(WIDTH)
    second = mg.nn.Linear(WIDTH, WIDTH, generator=seed + 1)
    parameters = [p for m in (first, norm, second) for p in m.parameters()]
    adam = mg.optim.Adam(parameters, lr=0.01)
    losses = []
    for _ in range(STEPS):
        adam.zero_grad()
        hidden = mg.softmax(norm(mg.silu(first(x))), -1) + mg.relu(x)
        loss = mg.cross_entropy(second(hidden), labels)
        loss.backward()
        adam.step()
        losses.append(loss.item())
        with mg.no_grad():  # of this thread alone
            assert not (x * parameters[0]).requires_grad
    found[seed] = losses, [p.detach().numpy() for p in parameters]


@pytest.mark.parametrize("repeat", range(3))
def test_two_models_at_once(repeat):
    alone, together = {}, {}
    for seed in (0, 7):
        train(seed, alone)
    workers = [threading.Thread(target=train, args=(seed, together)) for seed in (0, 7)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for seed, (losses, weights) in alone.items():
        assert together[seed][0] == losses and losses[-1] < losses[0]
        for ours, theirs in zip(together[seed][1], weights, strict=True):
            assert np.array_equal(ours, theirs)


LARGE = np.linspace(0.1, 1.0, 1 << 20, dtype=np.float32).reshape(1024, 1024)
CALLS = {
    "a pair": lambda x: x + x,
    "a map": mg.exp,
    "a choice": lambda x: mg.where(x > 0.5, x, 0.0),
    "a reduction": lambda x: x.sum(0),
    "rows": lambda x: mg.softmax(x, -1),
    "a product": lambda x: x @ x,
    "layer norm": lambda x: mg.layer_norm(x, x.shape[1:]),
    "cat": lambda x: mg.cat([x, x]),
    "gather": lambda x: mg.gather(x, 1, ROWS),
    "embedding": lambda x: mg.embedding(ROWS, x),
    "a loss": lambda x: mg.cross_entropy(x, ROWS[0]),
}
ROWS = mg.tensor(np.tile(np.arange(1024), (64, 1)))


def let_others_run(call):
    """Whether another thread came to run while the call was made, again and again.

    It can't take its turn: only a thread that lets go of the interpreter lets it run.
    """
    go, ran = threading.Lock(), []
    go.acquire()
    other = threading.Thread(target=lambda: ran.append(go.acquire()))
    before = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    try:
        other.start()
        go.release()
        for _ in range(300):
            call()
            if ran:
                break
        return bool(ran)
    finally:
        sys.setswitchinterval(before)
        other.join()


@pytest.mark.skipif(_backend.PURE, reason="the plain twin is Python")
@pytest.mark.parametrize("name", CALLS)
def test_a_large_kernel_lets_other_threads_run(name):
    x = mg.tensor(LARGE)
    assert let_others_run(lambda: CALLS[name](x))


def test_a_small_kernel_does_not():
    x = mg.tensor(LARGE[:4, :4])
    assert not let_others_run(lambda: x + x)
