"""Frozen pretrained networks, described to methods as ordered lists of adaptation sites."""
