"""The fused time loop: a step is traced, cut, differentiated, lowered and run.

In the order of the work: `lift` finds the tensors of a step and says when a trace can
be used again, `step` traces, `passes` tidy the program, `levels` says what a variable
depends on, `cut` splits what is traced, `joint` and `backward` differentiate it,
`items`, `combine` and `lower` make code of it, `loop` is the op that runs the code,
`routine` is what runs around it, `whole` makes one op of everything, and `plan` keeps
all this for the next call. `checkpoint` runs a scan in segments, `stepper` one step at
a time. `frame` is the layout of a sequence, `rows` and `products` say what ops do to
rows, `errors` what keeps a step from being fused, and `explain` what became of it.
"""
