"""The exception for errors that a user can fix."""


class UserError(Exception):
    """An error that the user can fix. The message is one sentence that says how; the command line prints it without a
    traceback and exits with code 2."""

    def __init__(self, message: str = ""):
        super().__init__(printable(message))

    def _render_traceback_(self) -> list[str]:
        """IPython shows the message without a traceback."""
        return [f"Error: {self}"]


def printable(text: str) -> str:
    """The text in one line, with control characters escaped, such as newlines and colours in the name of a file."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def brief(error: BaseException) -> str:
    """The start of an error message of another library; some quote a whole damaged file."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
