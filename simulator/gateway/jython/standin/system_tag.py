# mypy: ignore-errors
"""system.tag in gateway scope. Every operation goes to the parent, which keeps the tags."""

from java.lang import IllegalArgumentException
from java.util import Date

from standin import link, qualities
from standin.timers import in_thread

TIMEOUT_MS = 45000


def functions(parent):
    def listed(paths, what):
        """One path or a list of them, each with its provider: gateway scope has no default one."""
        if isinstance(paths, basestring):
            paths = [paths]
        if not hasattr(paths, "__iter__"):
            raise TypeError("%s(): 1st arg can't be coerced to List" % what)
        paths = list(paths)
        for path in paths:
            if not isinstance(path, basestring):
                raise TypeError("%s(): a tag path is a string, found %r" % (what, path))
            if not path.startswith("["):
                raise IllegalArgumentException(
                    "%s: '%s' names no tag provider, and gateway scope has no default one" % (what, path)
                )
        return paths

    def read(what, paths, timeout):
        paths = listed(paths, what)
        answers = parent.ask("read", timeout, paths=paths)
        if answers is None:
            late = qualities.QualityCode("Error_TimeoutExpired")
            return [qualities.QualifiedValue(None, late, Date()) for _ in paths]
        return [qualities.qualified(answer, link.from_json) for answer in answers]

    def write(what, paths, values, timeout):
        paths = listed(paths, what)
        if isinstance(values, basestring) or not hasattr(values, "__iter__"):
            values = [values]
        values = [link.to_json(getattr(value, "value", value)) for value in values]
        if len(paths) != len(values):
            raise IllegalArgumentException(
                "%s: %d tag paths and %d values; there must be as many" % (what, len(paths), len(values))
            )
        answers = parent.ask("write", timeout, paths=paths, values=values)
        if answers is None:
            return [qualities.QualityCode("Error_TimeoutExpired") for _ in paths]
        return [qualities.QualityCode(name, diagnostic) for name, diagnostic in answers]

    def readBlocking(tagPaths, timeout=TIMEOUT_MS):
        return read("readBlocking", tagPaths, timeout)

    def writeBlocking(tagPaths, values, timeout=TIMEOUT_MS):
        return write("writeBlocking", tagPaths, values, timeout)

    def readAsync(tagPaths, callback):
        paths = listed(tagPaths, "readAsync")
        in_thread("readAsync", lambda: callback(read("readAsync", paths, TIMEOUT_MS)))

    def writeAsync(tagPaths, values, callback=None):
        def work():
            outcome = write("writeAsync", tagPaths, values, TIMEOUT_MS)
            if callback is not None:
                callback(outcome)

        in_thread("writeAsync", work)

    def exists(tagPath):
        return read("exists", [tagPath], TIMEOUT_MS)[0].quality.getName() != "Bad_NotFound"

    return {
        "readBlocking": readBlocking,
        "writeBlocking": writeBlocking,
        "readAsync": readAsync,
        "writeAsync": writeAsync,
        "exists": exists,
    }
