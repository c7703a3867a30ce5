"""YAML registries of methods, tasks, tracks and backbones as typed, frozen entries."""
