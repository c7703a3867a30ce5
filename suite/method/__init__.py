"""What a contributor imports: the contract of a method, and the model it returns."""

from suite.backbones.base import Backbone
from suite.backbones.parameters import ParameterSet
from suite.backbones.per_task import PerTask, TaskContext, parameters_of
from suite.data.batching import Batch
from suite.errors import Unsupported
from suite.method.interface import Method, ParameterGroup, Phase, Stepper, Validate
from suite.method.model import AdaptedModel, adapted, context_of
from suite.registry.schema import Recipe, SiteKind, TaskEntry

__all__ = [
    "AdaptedModel",
    "Backbone",
    "Batch",
    "Method",
    "ParameterGroup",
    "ParameterSet",
    "PerTask",
    "Phase",
    "Recipe",
    "SiteKind",
    "Stepper",
    "TaskContext",
    "TaskEntry",
    "Unsupported",
    "Validate",
    "adapted",
    "context_of",
    "parameters_of",
]
