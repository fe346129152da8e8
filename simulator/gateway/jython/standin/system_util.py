# mypy: ignore-errors
"""system.util in gateway scope: loggers, messages, JSON, and work on another thread."""

import json

from java.lang import IllegalArgumentException, String, Throwable
from java.util import HashMap

from standin import carried
from standin.timers import describe, in_thread

_LEVELS = ("trace", "debug", "info", "warn", "error", "fatal")


class Logger(object):
    """system.util.getLogger: a message, and at most one Java exception with it."""

    def __init__(self, name, parent):
        self._name = name
        self._parent = parent

    def getName(self):
        return self._name

    name = property(getName)

    def isTraceEnabled(self):
        return False

    def isDebugEnabled(self):
        return False

    def isInfoEnabled(self):
        return True

    def _log(self, level, message, error):
        text = message if isinstance(message, basestring) else unicode(message)
        if isinstance(text, str):
            text = text.decode("utf-8", "replace")
        if error is not None:
            if not isinstance(error, Throwable):
                raise TypeError("%s(): 2nd arg can't be coerced to java.lang.Throwable" % level)
            text = "%s\n%s" % (text, describe(error))
        self._parent.log(level.upper(), self._name, text)


def _plain(level):
    def log(self, message, t=None):
        self._log(level, message, t)

    return log


def _formatted(level):
    def log(self, format, *args):
        self._log(level, String.format(format, list(args)), None)

    return log


for _level in _LEVELS:
    setattr(Logger, _level, _plain(_level))
    setattr(Logger, _level + "f", _formatted(_level))


class Version(object):
    """system.util.getVersion."""

    def __init__(self, text):
        self._text = text
        self.major, self.minor, self.rev = [int(part) for part in text.split(".")]

    def toString(self):
        return self._text

    __str__ = toString
    __repr__ = toString


def functions(project, parent, target):
    shared = HashMap()

    def getLogger(name):
        if not isinstance(name, basestring):
            raise TypeError("getLogger(): 1st arg can't be coerced to String")
        return Logger(name, parent)

    def sendMessage(
        project,
        messageHandler,
        payload=None,
        scope=None,
        clientSessionId=None,
        user=None,
        hasRole=None,
        hostName=None,
        remoteServers=None,
    ):
        """Fire and forget: SENT says nothing about a handler."""
        if payload is not None and not hasattr(payload, "keys"):
            raise TypeError("sendMessage(): 3rd arg can't be coerced to PyDictionary")
        scope = scope or "CGS"
        if not set(scope) <= set("CGS"):
            raise IllegalArgumentException("sendMessage: scope is made of C, G and S, found '%s'" % scope)
        parent.send(
            {
                "message": messageHandler,
                "project": project,
                "payload": json.loads(_encode(payload or {})),
                "scope": scope,
            }
        )
        return [
            "type=%s,project=%s,messageHandler=%s,filterParams={},sendStatus=SENT"
            % ("Gateway", project, messageHandler)
        ]

    def invokeAsynchronous(function, args=None, kwargs=None, description=None):
        def work():
            try:
                function(*(args or ()), **(kwargs or {}))
            except BaseException as caught:
                parent.log("ERROR", "system.util.invokeAsynchronous", describe(caught))
            except Throwable as caught:
                parent.log("ERROR", "system.util.invokeAsynchronous", describe(caught))

        return in_thread(description or "invokeAsynchronous", work)

    def jsonEncode(pyObj, indentFactor=4):
        return _encode(pyObj, indentFactor)

    def jsonDecode(jsonString):
        return json.loads(jsonString)

    return {
        "getLogger": getLogger,
        "sendMessage": sendMessage,
        "invokeAsynchronous": invokeAsynchronous,
        "jsonEncode": jsonEncode,
        "jsonDecode": jsonDecode,
        "getProjectName": lambda: project["name"],
        "getGlobals": lambda: shared,
        "globals": shared,
        "getVersion": lambda: Version(target + (".5" if target == "8.3" else ".48")),
    }


def _encode(value, indent=None):
    def foreign(one):
        if isinstance(one, carried.Wrapper):
            return one._plain()
        if hasattr(one, "doubleValue"):
            return one.doubleValue()
        if hasattr(one, "getTime"):
            return one.getTime()
        raise TypeError("%s is not JSON serializable" % type(one).__name__)

    return unicode(json.dumps(value, default=foreign, indent=indent or None))
