"""How the mini backbones were made: deterministic scripts, run once."""
