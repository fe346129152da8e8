# mypy: ignore-errors
"""What went wrong, in one sentence: the database's own words, not those of what was wrapped around them."""

from java.lang import Throwable
from java.sql import SQLException


def sentence(error):
    """The innermost SQLException's message; else the root cause. Python's errors with their class."""
    if not isinstance(error, Throwable):
        return "%s: %s" % (type(error).__name__, _words(error))
    found, cause = None, error
    while cause is not None:
        if isinstance(cause, SQLException):
            found = cause
        root, cause = cause, cause.getCause()
    if found is not None:
        return "%s" % (found.getMessage(),)
    return "%s" % (root.getMessage() or root.toString(),)


def _words(error):
    try:
        return unicode(error)
    except UnicodeError:  # a str with bytes above 127
        return str(error).decode("utf-8", "replace")
