"""The training loop: lean, deterministic, selecting on validation only."""
