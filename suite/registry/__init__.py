"""YAML registries of methods, tasks, tracks and backbones as typed, frozen entries."""

from suite.registry.loader import load
from suite.registry.registry import Broken, Registry

__all__ = ["Broken", "Registry", "load"]
