"""The command line: words typed, words printed."""
