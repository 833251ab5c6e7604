"""`lab doctor`: what is wrong with the host and the cluster, why, and the command that mends it.

`gather` asks the host and every machine, once and all at the same time; everything else is pure. A diagnosis
is one function in `catalog/` over what was seen, and never asks whether the lab itself has done the harm: it
names the rule, the route, the process, as anybody could have made it.
"""
