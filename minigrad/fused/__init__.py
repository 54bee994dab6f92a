"""The fused time loop: a step is traced, cut, differentiated, lowered and run.

In the order of the work: `step` traces, `cut` splits what is traced, `joint`
differentiates it, `lower` makes code of it, `loop` is the op that runs the code, and
`whole` makes one op of everything. `explain` shows what became of a step.
"""
