"""Faults: what can go wrong with a lab on purpose, and how it is made right again.

`registry` and `catalog/` say which there are, `plan` what a machine is asked for, `inside/` is the program
that a machine has for it, and `control` asks. `lab fault` and `Lab.fault` are thin covers of that.
"""
