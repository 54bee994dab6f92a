"""PyTorch's layers, and loops over its ops, as subjects."""

from collections.abc import Callable
from typing import Any

import torch

from benchmarks.kinds import Problem
from benchmarks.measure import Subject

Forward = Callable[[torch.Tensor], torch.Tensor]


def module(problem: Problem) -> Any:
    """PyTorch's module with our weights."""
    size = problem.x.shape[-1], problem.g.shape[-1]
    dtype = torch.from_numpy(problem.g[:0].copy()).dtype
    made = getattr(torch.nn, problem.kind.nn or "")(*size, dtype=dtype)
    made.load_state_dict(problem.layer.state_dict())
    return made


def train_module(problem: Problem) -> Subject:
    """torch.nn's module: the output, dx and the gradient of every parameter."""
    made = module(problem)
    return _train(lambda x: made(x)[0], list(made.parameters()), problem)


def train_loop(problem: Problem) -> Subject:
    """The same from a loop over the step."""
    weights = [torch.tensor(w, requires_grad=True) for w in problem.weights]
    return _train(_loop(problem, weights), weights, problem)


def infer_module(problem: Problem) -> Subject:
    """torch.nn's module: the output alone."""
    made = module(problem)
    return _infer(lambda x: made(x)[0], problem)


def infer_loop(problem: Problem) -> Subject:
    """The same from a loop over the step."""
    return _infer(_loop(problem, [torch.tensor(w) for w in problem.weights]), problem)


def stream_module(problem: Problem) -> Subject:
    """One more step of torch.nn's module, from numpy (1, I) to numpy (1, H)."""
    made, row, state = module(problem), problem.x[0].copy(), None

    def run() -> Any:
        nonlocal state
        with torch.no_grad():
            y, state = made(torch.from_numpy(row)[None], state)
        return y[0].numpy()

    return run


def _train(forward: Forward, weights: list[torch.Tensor], problem: Problem) -> Subject:
    x = torch.tensor(problem.x, requires_grad=True)
    g = torch.tensor(problem.g)

    def run() -> Any:
        output = forward(x)
        return output, *torch.autograd.grad(output, [x, *weights], g)

    return run


def _infer(forward: Forward, problem: Problem) -> Subject:
    x = torch.tensor(problem.x)

    def run() -> Any:
        with torch.no_grad():
            return forward(x)

    return run


def _loop(problem: Problem, weights: list[torch.Tensor]) -> Forward:
    kind, hidden = problem.kind, problem.g.shape[-1]

    def forward(x: torch.Tensor) -> torch.Tensor:
        state = (x.new_zeros(x.shape[1], hidden),) * kind.n_states
        outputs = []
        for x_t in x:
            state = kind.step(x_t, *state, *weights)
            outputs.append(state[0])
        return torch.stack(outputs)

    return forward
