"""What keeps a step from being fused."""


class NotFusedError(Exception):
    """The step can't be lowered; its text says which op is why. The eager loop runs."""
