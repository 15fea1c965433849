"""The one exception that a user is meant to read."""


class UserError(Exception):
    """Something that the user can put right. The message is one sentence that says how; the
    command line prints it alone and exits with 2."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows: the message alone, as the last thing on the screen."""
        return [f"Error: {self}"]


def brief(error: BaseException) -> str:
    """The first words of another's error message: some quote all of a damaged file."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
