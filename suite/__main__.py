"""`python -m suite`."""

from suite.cli import entry_point

entry_point()
