"""`python -m suite`."""

from suite.cli.main import entry_point

entry_point()
