"""A multi-task benchmark suite: accuracy per stored parameter when one backbone serves many tasks."""

__version__ = "0.1.0"
