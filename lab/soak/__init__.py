"""`lab soak`: a search for bugs. Random faults from a seed, what must hold, and the shortest reproduction.

`generate` draws a schedule, and `play` plays a round of it on a lab, with the `workload` and the recorders
that `inside` has. `evidence` is what was seen, of which `history` makes who used and held which subnet when,
and `timeline` what somebody reads. `invariants` say what does not hold, and `shrink` looks for the shortest
schedule in which the same goes wrong.
"""
