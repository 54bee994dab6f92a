"""What keeps a step from being fused."""


class NotFusedError(Exception):
    """The step can't be lowered; its text says which op is why. The eager loop runs.

    mixes_rows: whether it is because one row of the batch depends on others.
    """

    def __init__(self, reason: str, mixes_rows: bool = False) -> None:
        super().__init__(reason)
        self.mixes_rows = mixes_rows
