"""The one exception that means: the user can mend this."""


class UserError(ValueError):
    """A mistake outside the program. The message is one sentence: what is wrong, where, and what to do.

    Command lines print it without a traceback and exit with code 2.
    """
