"""Which seeds are for what."""

FIRST_SEARCH_SEED = 100
"""Seeds from here on are for searches alone, those below for results: a rate that was chosen with a
seed looks better with that seed than it is."""
