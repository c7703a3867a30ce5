"""YAML files of methods, tasks, tracks and backbones as typed, frozen entries (no torch)."""

from suite.registry.entries import Broken, Registry
from suite.registry.loader import load

__all__ = ["Broken", "Registry", "load"]
