"""The one exception that a user is meant to read."""


class UserError(Exception):
    """Something that the user can put right. The message is one sentence that says how; the
    command line prints it alone and exits with 2."""

    def __init__(self, message: str = ""):
        super().__init__(printable(message))

    def _render_traceback_(self) -> list[str]:
        """What IPython shows: the message alone, as the last thing on the screen."""
        return [f"Error: {self}"]


def printable(text: str) -> str:
    """The text in one line. What a terminal would obey is escaped: a file's name may hold newlines, colours, and bytes
    that are no text."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def brief(error: BaseException) -> str:
    """The first words of another's error message: some quote all of a damaged file."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
