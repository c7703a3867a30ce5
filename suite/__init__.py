"""Accuracy per stored parameter when one backbone must serve many tasks."""

__version__ = "0.1.0"
