"""Draws a schedule from a seed: the same seed and lab, the same schedule. Pure."""

import math
from collections.abc import Mapping
from random import Random

from lab.errors import Unfit
from lab.soak.recipes import RECIPES, Recipe
from lab.soak.schedule import Entry, Round, Schedule
from lab.spec import LabSpec
from lab.suggest import suggest

__all__ = ["draw", "draw_round", "weights"]

FAULTS = (2, 5)
"""In a round, at least and at most."""

SPAN = 8.0
"""Seconds within which the faults of a round begin."""


def weights(text: str) -> Mapping[str, float]:
    """`NAME[=WEIGHT],...`: how often each fault is to be drawn, beside the others. Raises `Unfit`."""
    found = {}
    for word in filter(None, (word.strip() for word in text.split(","))):
        name, equals, number = word.partition("=")
        if name not in RECIPES:
            maybe = suggest(name, RECIPES, "those that are")
            raise Unfit(f"{name} is no fault that a search draws{maybe}")
        try:
            found[name] = float(number) if equals else RECIPES[name].weight
        except ValueError:
            found[name] = math.nan
        if not 0 < found[name] < math.inf:
            raise Unfit(f"the weight of {name} is {number!r}; expected a number above 0, such as 3")
    return found


def draw(seed: int, spec: LabSpec, rounds: int, only: Mapping[str, float] | None = None) -> Schedule:
    """So many rounds. Raises `Unfit`."""
    return Schedule(seed=seed, rounds=tuple(draw_round(seed, number, spec, only) for number in range(rounds)))


def draw_round(seed: int, number: int, spec: LabSpec, only: Mapping[str, float] | None = None) -> Round:
    """One of them, whatever the others, from all faults or those of `only`, by their weights.

    Raises `Unfit` if the lab can have none of them.
    """
    random = Random(f"{seed} {number}")  # noqa: S311 - it is to be foreseeable
    often = only or {name: recipe.weight for name, recipe in RECIPES.items()}
    recipes = {name: RECIPES[name] for name in often}
    entries: list[Entry] = []
    wanted = random.randint(*FAULTS)
    for _ in range(20 * wanted):  # of faults that this lab cannot have, nothing comes
        name = random.choices(list(often), list(often.values()))[0]
        found = _entry(name, recipes[name], spec, random)
        if found is not None and not any(_same(found, other) for other in entries):
            entries.append(found)
        if len(entries) == wanted:
            break
    if not entries:
        raise Unfit(f"the lab {spec.name} cannot have any of these faults: {', '.join(recipes)}")
    return Round(faults=tuple(sorted(entries, key=lambda entry: entry.at)))


def _entry(name: str, recipe: Recipe, spec: LabSpec, random: Random) -> Entry | None:
    targets = recipe.draw(spec, random) if recipe.draw is not None else ()
    at = round(random.uniform(0, SPAN), 1)
    lasts = round(random.uniform(*recipe.lasts), 1) if recipe.lasts is not None else None
    options = {key: random.choice(values) for key, values in recipe.options.items()}
    if recipe.draw is not None and not targets:
        return None
    return Entry(at=at, fault=name, targets=tuple(targets), options=options, lasts=lasts)


def _same(one: Entry, other: Entry) -> bool:
    """Whether both would do the same to the same: the second would be refused, or change nothing."""
    return one.fault == other.fault and set(one.targets) == set(other.targets)
