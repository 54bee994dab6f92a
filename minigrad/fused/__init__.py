"""The fused time loop: a step is traced, cut, differentiated, lowered and run.

In the order of the work: `lift` finds what a step refers to, `step` traces it, `cut`
splits the program, `joint` and `backward` differentiate it, `items` and `lower` make
code of it, `loop` is the op that runs the code, `routine` is what runs around it,
`whole` makes one op of everything, and a `plan` keeps it for the next call.
`checkpoint` and `stepper` run it in segments and step by step; `explain` shows what
became of a step.
"""
