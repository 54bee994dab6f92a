"""Two Python threads that train two models at once: each as if it were alone."""

import threading

import numpy as np
import pytest

import minigrad as mg

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
