"""What must run and why: plans, identities, and where data and weights lie (no torch)."""
