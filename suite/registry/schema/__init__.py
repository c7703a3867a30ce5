"""What a registry file may say: one frozen model per kind of entry.

Unknown keys are errors. Everything the engine knows of methods, tasks, tracks and backbones comes
from these models; no module compares names.
"""

from suite.registry.schema.backbone import BackboneEntry, BackboneSource, Library
from suite.registry.schema.base import (
    FAMILIES,
    Entry,
    Family,
    FileEntry,
    Modality,
    Name,
    OptionValue,
    Reference,
    SiteKind,
)
from suite.registry.schema.method import Cost, CostTerm, Departure, MethodEntry, Option
from suite.registry.schema.rates import FoundRate, MethodRates
from suite.registry.schema.recipe import (
    MOST_EXAMPLES,
    MOST_IN_A_BATCH,
    MOST_STEPS,
    REQUESTED,
    TRACK_KEYS,
    TRIALS,
    Precision,
    Recipe,
    RecipeChange,
    RecipeException,
    Recipes,
    TaskRecipe,
    Tuning,
    on_grid,
)
from suite.registry.schema.scale import Scale
from suite.registry.schema.store import STORE, Store
from suite.registry.schema.task import (
    Classification,
    GeneratedSource,
    HubSource,
    MultiLabel,
    Output,
    Regression,
    Sources,
    SplitName,
    TaskEntry,
    Text,
)
from suite.registry.schema.track import PublishedRow, TrackEntry, TrackStart

__all__ = [
    "FAMILIES",
    "MOST_EXAMPLES",
    "MOST_IN_A_BATCH",
    "MOST_STEPS",
    "REQUESTED",
    "STORE",
    "TRACK_KEYS",
    "TRIALS",
    "BackboneEntry",
    "BackboneSource",
    "Classification",
    "Cost",
    "CostTerm",
    "Departure",
    "Entry",
    "Family",
    "FileEntry",
    "FoundRate",
    "GeneratedSource",
    "HubSource",
    "Library",
    "MethodEntry",
    "MethodRates",
    "Modality",
    "MultiLabel",
    "Name",
    "Option",
    "OptionValue",
    "Output",
    "Precision",
    "PublishedRow",
    "Recipe",
    "RecipeChange",
    "RecipeException",
    "Recipes",
    "Reference",
    "Regression",
    "Scale",
    "SiteKind",
    "Sources",
    "SplitName",
    "Store",
    "TaskEntry",
    "TaskRecipe",
    "Text",
    "TrackEntry",
    "TrackStart",
    "Tuning",
    "on_grid",
]
