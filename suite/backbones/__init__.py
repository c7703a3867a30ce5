"""Frozen pretrained networks: loaded, described as lists of sites, switched from task to task."""
