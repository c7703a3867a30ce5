"""The layers that methods are built from, and what trains them; `kernels` makes them fast."""
