"""`lab soak`: a search for bugs. Random faults from a seed, what must hold, and the shortest reproduction.

`generate` draws a schedule, `run` plays it on a lab, `evidence` and `invariants` say what was seen and what
does not hold, `shrink` looks for the shortest schedule in which the same goes wrong.
"""
