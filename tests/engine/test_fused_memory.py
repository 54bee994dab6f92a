"""Long runs of the fused loop: memory, threads, forks, and being interrupted."""

import gc
import multiprocessing
import os
import signal
import sys
import threading
import time
import tracemalloc
import weakref

import numpy as np
import pytest

import minigrad as mg
import seq
from minigrad import nn, optim

T, B, N = 6, 4, 5


def make(seed=0):
    return seq.LSTM(3, N, 2, bidirectional=True, generator=seed)


def train(seed, n_steps=5):
    """The parameters after a few steps of training, as arrays."""
    layer = make(seed)
    optimiser = optim.SGD(layer.parameters(), 0.1)
    x = mg.randn(T, B, 3, generator=seed + 1)
    for i in range(n_steps):
        optimiser.zero_grad()
        output, _ = layer(x, lengths=[6, 2, 0, 5] if i % 2 else None)
        (output * output).sum().backward()
        optimiser.step()
    return [p.detach().numpy().copy() for p in layer.parameters()]


def same(found, expected):
    return all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


# -- memory ----------------------------------------------------------------------------


def step_of(w):
    return lambda h, x: ((h @ w + x).tanh(), h)


@pytest.mark.usefixtures("no_collector")
def test_training_needs_no_more_memory_as_it_goes_on():
    layer = make()
    w = nn.Parameter(np.eye(N, dtype=np.float32))
    x, h = mg.randn(T, B, N, generator=1), mg.zeros(B, N)

    def work(n):
        for i in range(n):
            output, _ = layer(x[..., :3], lengths=[6, 2, 0, 5] if i % 2 else None)
            end, ys = mg.scan(lambda h, x: ((h @ w + x).tanh(), h * 2), h, x)
            (output.sum() + end.sum() + ys.sum()).backward()
            (slope,) = mg.grad(mg.scan(step, h, x)[0].sum(), w, create_graph=True)
            slope.sum().backward()
            for p in (w, *layer.parameters()):
                p.grad = None

    def step(h, x):
        return (h @ w + x).tanh(), h

    work(4)
    tracemalloc.start()
    try:
        found = []
        for n in (10, 100):
            work(n)
            found.append((size_of_arrays(), len(gc.get_objects())))
    finally:
        tracemalloc.stop()
    (size, count), (size_then, count_then) = found
    assert size_then == size
    assert count_then - count < 50


def size_of_arrays():
    """What numpy's arrays hold; Python's own free lists come and go."""
    ours = tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)
    snapshot = tracemalloc.take_snapshot().filter_traces([ours])
    return sum(trace.size for trace in snapshot.traces)


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("walked", [False, True], ids=["dropped", "after backward"])
@pytest.mark.parametrize("second", [False, True], ids=["first", "second order"])
def test_a_scan_dies_with_its_outputs(walked, second):
    w = nn.Parameter(np.eye(N, dtype=np.float32))
    x = mg.randn(T, B, N, generator=1)
    end, ys = mg.scan(step_of(w), mg.zeros(B, N), x)
    y = end.sum() + ys.sum()
    if second:
        y = mg.grad(y * y, w, create_graph=True)[0].sum()
    refs = [weakref.ref(end._data), weakref.ref(end), weakref.ref(ys)]
    refs += [weakref.ref(v) for v in y._node.values]
    if walked:
        y.backward()
    del y, end, ys
    assert [ref() for ref in refs] == [None] * len(refs)
    refs = [weakref.ref(w), weakref.ref(x)]
    del w, x
    assert [ref() for ref in refs] == [None, None]


@pytest.mark.usefixtures("no_collector")
def test_a_weight_that_a_step_captured_is_not_kept_by_its_plan():
    class Holder:
        """Not a plain object, so that the step is traced at each call."""

    holder = Holder()
    holder.w = nn.Parameter(np.eye(N, dtype=np.float32))
    ref = weakref.ref(holder.w)
    mg.scan(lambda h, x: (h @ holder.w + x, h), mg.zeros(B, N), mg.ones(T, B, N))
    del holder.w
    assert ref() is None


# -- threads and forks -----------------------------------------------------------------


def test_two_threads_train_as_each_does_alone():
    alone = [train(seed) for seed in range(3)]
    found = {}
    start = threading.Barrier(3)

    def work(seed):
        start.wait()
        for _ in range(3):
            found[seed] = train(seed)

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(same(found[seed], alone[seed]) for seed in range(3))


def test_two_threads_share_a_layer():
    layer = make()
    xs = [mg.randn(T, B, 3, generator=seed) for seed in range(4)]
    expected = [layer(x)[0].detach().numpy() for x in xs]
    found = {}

    def work(i):
        for _ in range(10):
            found[i] = layer(xs[i])[0].detach().numpy()

    workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert same([found[i] for i in range(4)], expected)


def child(seed, queue):
    queue.put(train(seed))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded:DeprecationWarning"
)
def test_a_fork_computes_the_same_and_ends():
    expected = train(0)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=child, args=(0, queue))
    process.start()
    found = queue.get(timeout=30)
    process.join(30)
    assert process.exitcode == 0
    assert same(found, expected) and same(train(0), expected)


# -- interruption ----------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there are no timers here")
def test_an_interrupt_stops_a_long_loop_and_leaves_all_as_it_was():
    layer = seq.LSTM(8, 64, generator=0)
    x = mg.randn(5, 2, 8, generator=1)
    expected = layer(x)[0].detach().numpy()
    long = mg.zeros(1, 2, 8).expand(400_000, -1, -1)

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for _ in range(2):
            start = time.monotonic()
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            with pytest.raises(KeyboardInterrupt), mg.no_grad():
                layer(long)
                layer(long)
                layer(long)
                pytest.fail("the loop was too short to be interrupted")
            assert time.monotonic() - start < 10
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert mg.is_grad_enabled()
    output, _ = layer(x)
    assert np.array_equal(output.detach(), expected)
    output.sum().backward()
    assert all(np.isfinite(p.grad.numpy()).all() for p in layer.parameters())


def test_a_long_sequence_needs_no_stack():
    limit = sys.getrecursionlimit()
    x = mg.ones(100_000, 1, 2, dtype=mg.float64).requires_grad_()
    end, ys = mg.scan(lambda h, x: (h * 0.5 + x, h), mg.zeros(1, 2).double(), x)
    (end.sum() + ys[-1].sum()).backward()
    assert np.array_equal(x.grad.numpy()[-3:, 0, 0], [0.25 + 0.5, 0.5 + 1, 1])
    assert sys.getrecursionlimit() == limit
