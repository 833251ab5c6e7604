"""A lab's life: the plan from nothing to one that works, its performance, finding it again, its removal."""

from lab.cluster.lab import NOWHERE, Lab, Unreadable, maker_of, names, remove_all

__all__ = ["NOWHERE", "Lab", "Unreadable", "maker_of", "names", "remove_all"]
