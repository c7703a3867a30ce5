"""The error types a user can meet."""


class UserError(Exception):
    """A mistake that the user can correct: printed as one message without a traceback, exit code 2.

    The message names the file, line and key (or the option) at fault and the nearest valid choice.
    """


class Unsupported(Exception):
    """A method refuses a backbone or task for which it is not defined; the message says why.

    The cell becomes a visible `unsupported` row, never a failure.
    """


class Diverged(Exception):
    """Training produced a non-finite loss; the cell becomes a `diverged` row."""
