# mypy: ignore-errors
"""Orders of Perspective sessions: scripts of views with their ``self``, and named queries of bindings."""

from java.lang import System, Throwable
from java.util.concurrent import ConcurrentHashMap

from standin import carried, components, datasets, failures, sessions, trees
from standin.timers import describe


def _define(source, file, names):
    """Alone in its function: Jython allows exec only where nothing is nested."""
    exec(compile(source, file, "exec"), names)


class Scripts(object):
    """Compiles once per signature and code, runs on its workers."""

    def __init__(self, project, asked, workers, parent):
        self._project = project
        self._sessions = asked
        self._workers = workers
        self._parent = parent
        self._functions = ConcurrentHashMap()

    def run(self, order):
        self._workers.submit(lambda: self._run(order))

    def run_beside(self, work):
        self._workers.submit(work)

    def _run(self, order):
        value = error = None
        started = System.nanoTime()
        self._sessions.enter(sessions.Context(order["self"], order["session"], order["page"], order["file"]))
        try:
            value = carried.to_json(self._called(order), order["file"])
        except BaseException as caught:
            error = self._failed(order, caught)
        except Throwable as caught:
            error = self._failed(order, caught)
        finally:
            self._sessions.leave()
        seconds = (System.nanoTime() - started) / 1e9
        self._parent.send({"done": order["id"], "value": value, "error": error, "seconds": seconds})

    def _called(self, order):
        function = self._function(order["signature"], order["code"])
        kind = order["kind"]
        arguments = {
            str(name): carried.argument(name, value, kind) for name, value in order["arguments"].items()
        }
        if isinstance(arguments.get("event"), dict):
            arguments["event"] = trees.wrapped(order["arguments"]["event"], trees.Detached())
        return function(components.of(self._sessions, order["self"]), **arguments)

    def _function(self, signature, code):
        key = (signature, code)
        found = self._functions.get(key)
        if found is None:
            name = signature.partition("(")[0].split()[-1]
            whole = code.lstrip().startswith("def ")
            source = code if whole else "%s:\n%s\n" % (signature, code if code.strip() else "\tpass")
            names = dict(self._project.names(), __name__="<function:%s>" % name)
            _define(source, "<function:%s>" % name, names)
            found = names[name]
            self._functions.put(key, found)
        return found

    def _failed(self, order, caught):
        file = order["file"]
        self._parent.log("ERROR", "Perspective.Script", "%s (%s)\n%s" % (file, order["kind"], _told(caught)))
        return failures.sentence(caught)


class Queries(object):
    """Runs the project's named queries as ``system.db.runNamedQuery`` does."""

    def __init__(self, project, database, workers, parent):
        self._project = project["name"]
        self._kinds = {path: query["type"] for path, query in project["queries"].items()}
        self._database = database
        self._workers = workers
        self._parent = parent

    def run(self, order):
        self._workers.submit(lambda: self._run(order))

    def run_beside(self, work):
        self._workers.submit(work)

    def _run(self, order):
        path = order["path"]
        done = {"columns": [], "rows": [], "kind": self._kinds.get(path, "Query"), "error": None}
        try:
            done.update(self._answer(path, order["parameters"]))
        except BaseException as caught:
            done["error"] = failures.sentence(caught)
        except Throwable as caught:
            done["error"] = failures.sentence(caught)
        self._parent.send(dict(done, done=order["id"]))

    def _answer(self, path, parameters):
        found = self._database["runNamedQuery"](
            project=self._project, path=path, parameters=carried.from_json(parameters)
        )
        where = "named query %s" % path
        if isinstance(found, datasets.PyDataSet):
            found = found.getUnderlyingDataset()
        if isinstance(found, datasets.BasicDataset):
            return carried.dataset_to_json(found, where)
        name = "count" if self._kinds[path] == "UpdateQuery" else "value"
        kind = "java.lang.Integer" if name == "count" else "java.lang.Object"
        return {"columns": [{"name": name, "type": kind}], "rows": [[carried.to_json(found, where)]]}


def _told(caught):
    text = describe(caught)
    return text if isinstance(text, unicode) else text.decode("utf-8", "replace")
