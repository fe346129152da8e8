# mypy: ignore-errors
"""For whom the running thread works (session, page, script), and what it asks the parent about them."""

from java.lang import Exception as JavaException
from java.lang import ThreadLocal

TIMEOUT_MS = 60000
_QUICK = ("get", "exists", "walk", "methods", "isAuthorized", "getSessionInfo")
_SILENT = object()


class Context(object):
    """What a Perspective thread knows of itself."""

    def __init__(self, handle, session, page, file):
        self.handle = handle
        self.session = session
        self.page = page
        self.file = file


class Sessions(object):
    """The parent's sessions as scripts reach them; ``workers`` grow while a script waits for other scripts."""

    def __init__(self, parent, workers):
        self._parent = parent
        self._workers = workers
        self._contexts = ThreadLocal()

    def current(self):
        """The context of this thread; ``None`` in gateway scope, and in threads that a script started."""
        return self._contexts.get()

    def file(self):
        context = self.current()
        return "gateway scope" if context is None else context.file

    def enter(self, context):
        self._contexts.set(context)

    def leave(self):
        self._contexts.remove()

    def ask(self, op, handle, **fields):
        """The parent's answer. Raises java.lang.Exception when it refuses or is silent."""
        if op in _QUICK:
            return self._ask(op, handle, fields)
        with self._workers.elsewhere():
            return self._ask(op, handle, fields)

    def _ask(self, op, handle, fields):
        answer = self._parent.ask("perspective", TIMEOUT_MS, silent=_SILENT, op=op, handle=handle, **fields)
        if answer is _SILENT:
            raise JavaException("the gateway gave no answer to %s within %d s" % (op, TIMEOUT_MS / 1000))
        return answer
