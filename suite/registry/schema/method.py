"""A method's YAML: what it is, its options, its recipe and its cost."""

from pathlib import Path
from typing import Literal, get_args

from pydantic import Field, model_validator

from suite.registry.families import families, lineage
from suite.registry.names import did_you_mean
from suite.registry.schema.base import (
    Entry,
    Family,
    FileEntry,
    Name,
    OptionValue,
    Reference,
    SiteKind,
)
from suite.registry.schema.rates import FoundRate
from suite.registry.schema.recipe import RecipeException, RecipeExceptions, Recipes, Tuning
from suite.registry.schema.scale import Scale

Need = str
"""A kind of sites, or several of which one will do: `block or attention`."""
OR = " or "
KINDS: tuple[SiteKind, ...] = get_args(SiteKind)
LARGEST_SHOWN = 1e300
"""Larger numbers are not written out in messages."""


class CostTerm(Entry):
    """One summand of a closed-form parameter count.

    `count` is a formula (see `suite.registry.expression`) over the method's options, the facts it
    reports and the backbone's dimensions (see `suite.registry.cost_names`). With `each`, it is
    summed over the sites of these kinds and may also use `w`, the width of the site, and `i`, `o`,
    `k` of a conv or linear site.
    """

    count: str
    each: tuple[SiteKind, ...] = ()


class Cost(Entry):
    """Closed-form parameter counts: stored once for all tasks, and again for each task."""

    shared: tuple[CostTerm, ...] = ()
    per_task: tuple[CostTerm, ...] = ()


class Option(Entry):
    """One option of a method: its default, what it means and, where limited, its choices."""

    default: OptionValue
    description: str
    choices: tuple[OptionValue, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    mini: OptionValue | None = None
    """The default at mini scale, where it differs."""

    def outside(self, value: OptionValue) -> str:
        """Why a value does not lie within the option's bounds, in words; empty if it does."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return ""
        # A whole number may be too large for a float.
        found = f"{value:g}" if abs(value) < LARGEST_SHOWN else "one of hundreds of digits"
        if self.minimum is not None and value < self.minimum:
            return f"must be at least {self.minimum:g}, not {found}"
        if self.maximum is not None and value > self.maximum:
            return f"must be at most {self.maximum:g}, not {found}"
        return ""

    def default_at(self, scale: Scale) -> OptionValue:
        """The default at a scale."""
        return self.mini if scale == Scale.MINI and self.mini is not None else self.default


class Departure(Entry):
    """One way in which a method is not the form of its paper or of the paper's code."""

    differs: str
    costs: str
    """What the difference means for the score or for the parameters stored, as far as known."""


class MethodEntry(FileEntry):
    """A way to adapt a backbone to one task (`per_task`) or to a whole track at once (`joint`)."""

    title: str
    summary: str
    regime: Literal["per_task", "joint"]
    needs: tuple[Need, ...] | None = None
    """The kinds of sites that a network must have, where one of several will do as `block or
    attention`. The method is defined on every family that has them."""
    families: tuple[Family, ...] = ()
    """The families that the method was written for. Without `needs` it is defined on these and on
    their kinds alone."""
    unsupported: dict[Family, str] = {}
    """Why the method is not defined on a family and its kinds."""
    adaptation: dict[Family, str] = {}
    """On which families this is our own form of the method, not its paper's, and what differs."""
    departures: tuple[Departure, ...] = ()
    """Where the method is not its paper's form on families that the paper does treat."""
    python: str | None = None
    """The file that defines the method, beside the YAML; default: NAME.py."""
    reference: Reference
    options: dict[Name, Option] = {}
    facts: dict[Name, str] = {}
    """Measured quantities the method reports (name -> meaning), usable in `cost`."""
    recipe: Recipes = {}
    """Keys that are the method's own; those of `TRACK_KEYS` only in `exceptions`."""
    exceptions: RecipeExceptions = {}
    tuning: Tuning = {}
    """Without rates for a family, a search begins around the recipe's rate."""
    found_rates: dict[str, dict[str, FoundRate]] = Field(default={}, exclude=True)
    """Track -> backbone -> what a search found; filled in by the loader, never written here."""
    cost: Cost
    cost_stated: bool = Field(default=True, exclude=True)
    """False only for a class that is tried out without a closed form, never written in YAML."""
    task_prefix: bool = False
    """Text-to-text sources begin with the task's name, where nothing else names the task."""
    replaces_backbone: bool = False
    """What is stored holds a changed copy of the whole backbone: the frozen one is not needed."""
    notes: str = ""

    @property
    def python_path(self) -> Path:
        """The file that defines the method, beside the YAML."""
        return self.path.parent / self.python if self.python else self.path.with_suffix(".py")

    def refusal(self, family: Family) -> str:
        """Why the method is not defined on a family, in words; empty if it is.

        What a family is a kind of is asked after the family itself.
        """
        for name in lineage(family):
            if name in self.unsupported:
                return self.unsupported[name]
            if name in self.families:
                break
        else:
            if self.needs is None:
                written = ", ".join(self.families)
                return f"{self.name} is written for {written}; its YAML says no other needs"
        kinds = families()[family].kinds
        for need in self.needs or ():
            if not any(kind in kinds for kind in need.split(OR)):
                words = need.replace("_", "-")
                return f"{self.name} needs sites of the kind {words}, which {family} does not have"
        return ""

    def trial_rates(self, scale: Scale, family: Family) -> tuple[float, ...]:
        """The learning rates at which a search on a family begins; none if the file names none."""
        rates = self.tuning.get(scale, {})
        own = (rates.get(name) for name in (*lineage(family), "default"))
        return next(filter(None, own), ())

    def exception(self, scale: Scale, track: str, family: Family) -> RecipeException | None:
        """What the method changes of a track's recipe on a family; None almost everywhere."""
        own = self.exceptions.get(scale, {}).get(track, {})
        return next((own[name] for name in lineage(family) if name in own), None)

    def found_rate(self, track: str, backbone: str) -> float | None:
        """The learning rate that a search found on a track and backbone, and somebody adopted."""
        found = self.found_rates.get(track, {}).get(backbone)
        return found.learning_rate if found else None

    @model_validator(mode="after")
    def _says_where_it_is_defined(self) -> "MethodEntry":
        if self.needs is None and not self.families:
            raise ValueError(
                "needs: name the kinds of sites that the method needs, or list 'families'"
            )
        for need in self.needs or ():
            for kind in need.split(OR):
                if kind not in KINDS:
                    near = did_you_mean(kind, KINDS)
                    raise ValueError(f"needs: '{kind}' is not one of {', '.join(KINDS)}{near}")
        twice = [family for family in self.families if family in self.unsupported]
        if twice:
            raise ValueError(f"unsupported: also in 'families': {', '.join(twice)}")
        return self
