"""The layers that methods are built from."""
