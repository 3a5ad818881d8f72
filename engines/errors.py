"""The exception for mistakes that the user can correct."""


class UserError(ValueError):
    """A mistake outside the program; the message is one sentence: what is wrong, where, and what to do.

    Command lines print it without a traceback and exit with code 2.
    """
