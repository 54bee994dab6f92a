"""Forward hooks: functions that read, or replace, what a module is given or returns."""

from collections.abc import Callable
from typing import Any, NamedTuple

from ..errors import ArgumentError, check_callable, describe
from ..hooks import Handle
from ..mode import refuse_in_step


class Hook(NamedTuple):
    """A function, and whether it is given the arguments by name too."""

    run: Callable[..., Any]
    with_kwargs: bool


class ForwardHooks:
    """Those of one module, in the order in which they run."""

    def __init__(self) -> None:
        self.before: dict[object, Hook] = {}
        self.after: dict[object, Hook] = {}

    def call(self, module: Any, args: Any, kwargs: Any) -> Any:
        """Run the module's forward between its hooks."""
        name = type(module).__name__
        if self.before or self.after:
            refuse_in_step(
                f"a forward hook of {name}", "remove it, or run in eager_loops()"
            )
        for hook in tuple(self.before.values()):  # one may remove itself
            given = (args, kwargs) if hook.with_kwargs else (args,)
            found = hook.run(module, *given)
            if found is None:
                continue
            if not hook.with_kwargs:
                args = found if isinstance(found, tuple) else (found,)
            elif isinstance(found, tuple) and len(found) == 2:
                args, kwargs = found
            else:
                raise ArgumentError(
                    f"{name}: a forward pre-hook with kwargs must return None or "
                    f"(args, kwargs), not {describe(found)}"
                )
        output = module.forward(*args, **kwargs)
        for hook in tuple(self.after.values()):
            given = (args, kwargs) if hook.with_kwargs else (args,)
            found = hook.run(module, *given, output)
            output = output if found is None else found
        return output


class Hooked:
    """What is called by its `forward`, with hooks before and after."""

    _forward_hooks: ForwardHooks | None = None  # there is none: no call pays for any

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._forward_hooks is not None:
            return self._forward_hooks.call(self, args, kwargs)
        return self.forward(*args, **kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The computation."""
        raise NotImplementedError

    def register_forward_pre_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
    ) -> Handle:
        """Call `hook(module, args)` before each call of the module.

        What it returns takes the place of args, unless it is None: a tuple, or a single
        argument. It runs after the hooks that are there, with prepend before them. With
        with_kwargs it is `hook(module, args, kwargs)`, and returns both or None.
        `handle.remove()` takes it away. A call inside a step of scan is refused: the
        hook would run once, for all steps.
        """
        return _add(self._hooks().before, hook, prepend, with_kwargs)

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
    ) -> Handle:
        """Call `hook(module, args, output)` after each call of the module.

        What it returns takes the place of the output, unless it is None. With
        with_kwargs it is `hook(module, args, kwargs, output)`. For the rest see
        `register_forward_pre_hook`.

        >>> from minigrad import ones
        >>> from minigrad.nn import Linear, Sequential, Tanh
        >>> model, seen = Sequential(Linear(3, 4), Tanh()), []
        >>> handle = model[0].register_forward_hook(lambda m, args, y: seen.append(y))
        >>> y = model(ones(1, 3))
        >>> seen[0].shape
        (1, 4)
        >>> handle.remove()
        """
        return _add(self._hooks().after, hook, prepend, with_kwargs)

    def _hooks(self) -> ForwardHooks:
        if self._forward_hooks is None:
            self._forward_hooks = ForwardHooks()
        return self._forward_hooks


def is_as_made(module: Any, kind: type[Hooked]) -> bool:
    """Whether a call of the module is `kind.forward`: neither hooked nor replaced."""
    return (
        type(module) is kind
        and module._forward_hooks is None
        and "forward" not in module.__dict__
    )


def _add(
    hooks: dict[object, Hook], run: Any, prepend: bool, with_kwargs: bool
) -> Handle:
    check_callable(run, "a forward hook")
    key = object()
    hooks[key] = Hook(run, with_kwargs)
    if prepend:
        for other in [k for k in hooks if k is not key]:
            hooks[other] = hooks.pop(other)
    return Handle(hooks, key)
