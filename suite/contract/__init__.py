"""Checks whether a method or a task keeps its promises."""
