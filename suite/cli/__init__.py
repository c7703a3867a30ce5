"""Words typed, words printed: the verbs of the command line."""
