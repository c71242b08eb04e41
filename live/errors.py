"""The one error that is shown to a user as a line, without a traceback."""


class UserError(Exception):
    """Bad usage or unreadable input: the message names the thing and the remedy, in one line. Exit status 2."""
