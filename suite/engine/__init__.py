"""Runs a plan: worker processes, the one straight cell, its training, delta and ledger."""
