"""Seeds by name, so that one source of randomness never shifts another."""

import hashlib


def seed_for(*scope: object) -> int:
    """A 63-bit seed for a named purpose, e.g. `seed_for(0, "order", "cola")`."""
    text = "/".join(map(str, scope))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
