"""Deterministic generators of the mini scale."""
