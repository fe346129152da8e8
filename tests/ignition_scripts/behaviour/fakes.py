# mypy: ignore-errors
"""A small gateway in memory: `system` with a command table behind it, and a list of all that was called.

It is stricter than it is complete: an unknown named query, a missing or superfluous parameter, or a tag
call in another form than the gateway's is an error. The real thing is proven in the gateway stand-in.
"""

import json
import sys
import types

JYTHON = sys.platform.startswith("java")

if JYTHON:
    from java.lang import RuntimeException, Throwable
    from java.sql import SQLException
else:

    class Throwable(BaseException):
        """What a Java exception is to CPython: caught by neither `except Exception` nor by accident."""

        def __init__(self, message="", cause=None):
            BaseException.__init__(self, message)
            self._cause = cause

        def getCause(self):
            return self._cause

    RuntimeException = SQLException = Throwable

    class _LinkedHashMap(dict):
        """Java's own has an order and `put`."""

        def put(self, key, value):
            self[key] = value


class Killed(BaseException):
    """The thread ends here and now; no handler of the script sees it."""


class Quality(object):
    def __init__(self, text):
        self.text = text

    def isGood(self):
        return self.text.startswith("Good")

    def __str__(self):
        return self.text


class Qualified(object):
    def __init__(self, value, quality):
        self.value = value
        self.quality = Quality(quality)
        self.timestamp = None


class Dataset(object):
    """As 8.1 hands it out: no rows to iterate, no names to index by."""

    def __init__(self, names, rows):
        self._names = names
        self._rows = rows

    def getColumnNames(self):
        return list(self._names)

    def getRowCount(self):
        return len(self._rows)

    def getValueAt(self, row, column):
        if not 0 <= row < len(self._rows):
            raise RuntimeException("row %d does not exist" % row)
        return self._rows[row][column if isinstance(column, int) else self._names.index(column)]


class Clock(object):
    """Both the database's clock and the gateway's; sleeping moves it."""

    def __init__(self):
        self.now_s = 1000.0

    def nanoTime(self):
        return int(self.now_s * 1e9)

    def sleep(self, milliseconds):
        self.now_s += milliseconds / 1000.0


class Logger(object):
    def __init__(self, name):
        self.name = name
        self.lines = []

    def _log(self, level, text):
        self.lines.append((level, text))

    def debug(self, text):
        self._log("debug", text)

    def info(self, text):
        self._log("info", text)

    def warn(self, text):
        self._log("warn", text)

    def error(self, text):
        self._log("error", text)


class Gateway(object):
    """The state behind `system`. `before` and `after` hold what happens around the n-th call of a name."""

    def __init__(self):
        self.clock = Clock()
        self.calls = []
        self.commands = []
        self.health = None
        self.sessions = {}
        self.armed = True
        self.tags = {}
        self.qualities = {}
        self.answers = {}  # path -> what writeBlocking says of it
        self.ignores = set()  # paths that take no value although the write is Good
        self.before = {}
        self.after = {}
        self.messages = []
        self.written = []
        self.levels = set()  # security levels that the session's login has
        self.perspective = []  # (function, arguments) of what scripts asked of sessions and pages
        self.recommendations = {}
        self.decided = []  # (named query, parameters) of what reached the database
        self.control = True
        self.trail = []

    def happen(self, name, work):
        """Run one call, with what the test put before and after it."""
        self.calls.append(name)
        what = self.before.get(name)
        if what is not None:
            what()
        answer = work()
        what = self.after.get(name)
        if what is not None:
            what()
        return answer

    def command(self, command_id):
        return [row for row in self.commands if row["command_id"] == command_id][0]

    def named(self, name):
        return [call for call in self.calls if call == name]


gateway = Gateway()
_parameters = {}


def fresh():
    """A gateway in which nothing has happened yet; all fakes look at it."""
    gateway.__init__()
    import bridge.gateway as script

    script._failing.clear()
    script.LOGGER.lines = []
    script.System = script.Thread = gateway.clock
    return gateway


def fail(message="connection refused", wrapped=True):
    """Something to put before or after a call: a failure as Java throws it, inside an exception of Ignition's."""

    def happens():
        cause = SQLException(message)
        raise RuntimeException("Error executing named query", cause) if wrapped else cause

    return happens


def fail_in_python():
    raise IOError("the script's own failure")


def kill():
    raise Killed()


# The command table, as far as the gateway's queries see it


def _pending(_path, p):
    out = []
    for row in gateway.commands:
        earlier = [
            other
            for other in gateway.commands
            if other["recommendation_id"] == row["recommendation_id"] and other["sequence"] < row["sequence"]
        ]
        if (
            gateway.armed
            and row["status"] == "pending"
            and all(other["status"] == "executed" for other in earlier)
            and gateway.clock.now_s - row["approved_s"] < p["approval_valid_s"]
            and len(out) < p["max_commands"]
        ):
            row.update(
                status="executing", claimed_by=p["claimed_by"], lease_s=gateway.clock.now_s + p["lease_s"]
            )
            out.append(dict(row["facts"], lease_left_s=p["lease_s"]))
    return out


def _intent(_path, p):
    out = []
    for row in gateway.commands:
        if row["command_id"] in json.loads(p["command_ids"]) and _held(row, p) and gateway.armed:
            if row["sent_s"] is None and row["lease_s"] > gateway.clock.now_s:
                row["sent_s"] = gateway.clock.now_s
                out.append({"command_id": row["command_id"]})
    return out


def _release(_path, p):
    out = []
    for row in gateway.commands:
        if row["command_id"] in json.loads(p["command_ids"]) and row["status"] == "executing":
            if row["sent_s"] is None and (_held(row, p) or row["lease_s"] <= gateway.clock.now_s):
                row.update(status="pending", claimed_by=None)
                out.append({"command_id": row["command_id"]})
    return out


def _mark(path, p):
    row = gateway.command(p["command_id"])
    status = path.split("Command")[-1].lower()
    if not _held(row, p) or (row["sent_s"] is None and status != "failed"):
        return []
    return _end(row, status, p)


def _verdicts(_path, p):
    out = []
    for entry in json.loads(p["verdicts"]):
        row = gateway.command(entry["command_id"])
        if _held(row, p) and (row["sent_s"] is not None or entry["status"] == "failed"):
            out.extend(_end(row, entry["status"], entry))
    return out


def _settle(_path, p):
    row = gateway.command(p["command_id"])
    if row["status"] != p["from_status"] or row["sent_s"] is None:
        return []
    if row["status"] == "executing" and row["lease_s"] > gateway.clock.now_s:
        return []
    assert p["settled_by"].startswith("gateway/")
    return _end(row, p["status"], p)


def _unsettled(_path, p):
    out = []
    for row in gateway.commands:
        gone = row["status"] == "executing" and row["lease_s"] <= gateway.clock.now_s
        if not gone and row["status"] != "unknown":
            continue
        ago = None if row["sent_s"] is None else gateway.clock.now_s - row["sent_s"]
        if ago is None or ago >= p["patience_s"]:
            out.append(dict(row["facts"], status=row["status"], sent=ago is not None, sent_s_ago=ago))
    return out


def _end(row, status, p):
    assert status != "executed" or p["read_back"] is not None, "executed wants a read-back"
    row.update(status=status, result=p["result"], code=p.get("code"), read_back=p["read_back"])
    return [{"command_id": row["command_id"], "recommendation_id": row["recommendation_id"]}]


def _held(row, p):
    return row["status"] == "executing" and row["claimed_by"] == p["claimed_by"]


def _watch(_path, _p):
    return [gateway.health]


def _open_session(_path, p):
    row = gateway.sessions.setdefault(
        p["session_id"], {"operator": p["operator"], "approved": 0, "rejected": 0}
    )
    row.update(status="active", may_decide=p["may_decide"], may_arm=p["may_arm"])
    for key, other in gateway.sessions.items():
        if key != p["session_id"] and key.startswith(p["session_id"].split("/")[0] + "/"):
            other["status"] = "closed"
    return [{"session_id": p["session_id"]}]


def _close_session(_path, p):
    out = []
    for key, row in sorted(gateway.sessions.items()):
        if key.startswith(p["perspective_id"] + "/") and row["status"] == "active":
            row["status"] = "closed"
            out.append({"session_id": key})
    return out


def _decide(path, p):
    """As the database decides: only what is pending, and an approval only with the digest of the row."""
    gateway.decided.append((path, dict(p)))
    row = gateway.recommendations.get(p["recommendation_id"])
    if (
        row is None
        or row["status"] != "pending"
        or p.get("digest", row["write_digest"]) != row["write_digest"]
    ):
        return []
    status = {"approve": "approved", "reject": "rejected", "defer": "deferred"}[path.split("/")[1][:-14]]
    row["approvals_given"] += 1
    if status != "approved" or row["approvals_given"] >= row["approvals_required"]:
        row["status"] = status
        row["approved_by_operator" if status == "approved" else "decided_by_operator"] = p["operator"]
    return [{"recommendation_id": p["recommendation_id"], "status": row["status"]}]


def _recommendation(_path, p):
    row = gateway.recommendations.get(p["recommendation_id"])
    return [] if row is None else [row]


def _command(_path, p):
    return [row for row in gateway.commands if row["command_id"] == p["command_id"]]


def _settle_by_hand(path, p):
    gateway.decided.append((path, dict(p)))
    row = gateway.command(p["command_id"])
    return _end(row, p["status"], p) if row["status"] == "unknown" else []


def _set_armed(path, p):
    gateway.decided.append((path, dict(p)))
    if gateway.control == p["armed"]:
        return []
    gateway.control = p["armed"]
    return [{"armed": p["armed"]}]


def _search_audit(_path, _p):
    return gateway.trail


def _count(_path, p):
    gateway.sessions[p["session_id"]][p["decision"]] += 1
    return [{"session_id": p["session_id"]}]


_QUERIES = {
    "Commands/getPendingCommands": _pending,
    "Commands/recordGatewayIntent": _intent,
    "Commands/releaseGatewayCommands": _release,
    "Commands/markCommandExecuted": _mark,
    "Commands/markCommandFailed": _mark,
    "Commands/markCommandUnknown": _mark,
    "Commands/listGatewayUnsettled": _unsettled,
    "Commands/recordGatewayVerdicts": _verdicts,
    "Commands/settleGatewayCommand": _settle,
    "Health/watchAgent": _watch,
    "Sessions/openOperatorSession": _open_session,
    "Sessions/closeOperatorSession": _close_session,
    "Sessions/countDecision": _count,
    "Recommendations/approveRecommendation": _decide,
    "Recommendations/rejectRecommendation": _decide,
    "Recommendations/deferRecommendation": _decide,
    "Recommendations/getRecommendation": _recommendation,
    "Commands/getCommand": _command,
    "Commands/settleByHand": _settle_by_hand,
    "Control/setArmed": _set_armed,
    "Audit/searchAudit": _search_audit,
}


def _run(project, path, parameters):
    assert project == "TheProject", project
    assert sorted(parameters) == sorted(_parameters[path]), "%s wants %s, got %s" % (
        path,
        sorted(_parameters[path]),
        sorted(parameters),
    )
    rows = gateway.happen(path.split("/")[1], lambda: _QUERIES[path](path, parameters))
    names = sorted(rows[0]) if rows else ["nothing"]
    return Dataset(names, [[row[name] for name in names] for row in rows])


# `system`


def _read_blocking(paths, timeout=45000):
    assert isinstance(paths, list) and paths
    assert timeout < 45000
    return gateway.happen(
        "readBlocking",
        lambda: [
            Qualified(gateway.tags[path], gateway.qualities.get(path, "Good"))
            if path in gateway.tags
            else Qualified(None, "Bad_NotFound")
            for path in paths
        ],
    )


def _write_blocking(paths, values, timeout=45000):
    assert isinstance(paths, list) and len(paths) == len(values)
    assert timeout < 45000
    return gateway.happen(
        "writeBlocking", lambda: [_write_one(path, value) for path, value in zip(paths, values)]
    )


def _write_one(path, value):
    gateway.written.append((path, value))
    answer = gateway.answers.get(path, "Good")
    if path not in gateway.tags:
        return Quality("Bad_NotFound")
    if answer.startswith("Good") and path not in gateway.ignores:
        gateway.tags[path] = value
    return Quality(answer)


def _is_authorized(isAllOf, securityLevels, sessionId=None):
    found = [level in gateway.levels for level in securityLevels]
    return all(found) if isAllOf else any(found)


def _asked(name):
    return lambda *words, **named: gateway.perspective.append((name, words, named))


def install(parameters):
    """Put `system`, and under CPython also what is used of `java`, where the scripts import them from."""
    _parameters.update(parameters)
    system = types.ModuleType("system")
    system.tag = types.ModuleType("system.tag")
    system.tag.readBlocking = _read_blocking
    system.tag.writeBlocking = _write_blocking
    system.db = types.ModuleType("system.db")
    system.util = types.ModuleType("system.util")
    system.util.getLogger = Logger
    system.util.getProjectName = lambda: "TheProject"
    system.util.sendMessage = lambda project, handler, payload, scope: gateway.messages.append(
        (project, handler, payload, scope)
    )
    system.perspective = types.ModuleType("system.perspective")
    system.perspective.isAuthorized = _is_authorized
    for name in ("openPopup", "closePopup", "sendMessage", "navigate", "download", "toggleDock"):
        setattr(system.perspective, name, _asked(name))
    system.date = types.ModuleType("system.date")
    system.date.now = lambda: "now"
    sys.modules["system"] = system
    if not JYTHON:
        java = types.ModuleType("java")
        java.lang = types.ModuleType("java.lang")
        java.lang.Throwable = Throwable
        java.lang.System = java.lang.Thread = None  # every test brings its own clock
        java.util = types.ModuleType("java.util")
        java.util.LinkedHashMap = _LinkedHashMap
        sys.modules.update({"java": java, "java.lang": java.lang, "java.util": java.util})
    as_81(system)


def as_81(system=None):
    """Named queries as 8.1 runs them in gateway scope: project, path, parameters."""
    system = system or sys.modules.get("system")
    if system is not None:
        vars(system.db).pop("execQuery", None)
        system.db.runNamedQuery = lambda project, path, parameters: _run(project, path, parameters)


def as_83():
    """Named queries as 8.3 runs them; the old way is gone."""
    system = sys.modules["system"]
    vars(system.db).pop("runNamedQuery", None)
    system.db.execQuery = lambda path, parameters, tx=None, project=None: _run(project, path, parameters)
