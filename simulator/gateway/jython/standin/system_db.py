# mypy: ignore-errors
"""system.db: named queries and prepared statements over JDBC.

As in Ignition every failure of the database arrives as java.lang.Exception with the driver's own exception as
its cause. In gateway scope two arguments to runNamedQuery without a project are refused:
a gateway may take them or not. In a Perspective thread the project is that of the session, unless three
arguments are given by place.
"""

from java.lang import ClassCastException, IllegalArgumentException, Throwable
from java.lang import Exception as JavaException
from java.sql import Connection

from standin import datasets, parameters


def functions(project, sources, parent, target, sessions):
    return _Database(project, sources, parent, target, sessions).functions()


class _Database(object):
    def __init__(self, project, sources, parent, target, sessions):
        self._project = project["name"]
        self._queries = project["queries"]
        self._sources = sources
        self._parent = parent
        self._newer = target != "8.1"
        self._sessions = sessions

    def functions(self):
        shared = {
            name: getattr(self, name)
            for name in (
                "runNamedQuery",
                "runPrepQuery",
                "runPrepUpdate",
                "runScalarPrepQuery",
                "beginTransaction",
                "beginNamedQueryTransaction",
                "commitTransaction",
                "rollbackTransaction",
                "closeTransaction",
            )
        }
        if self._newer:
            shared.update(execQuery=self.execQuery, execScalar=self.execScalar, execUpdate=self.execUpdate)
        shared.update(
            READ_UNCOMMITTED=Connection.TRANSACTION_READ_UNCOMMITTED,
            READ_COMMITTED=Connection.TRANSACTION_READ_COMMITTED,
            REPEATABLE_READ=Connection.TRANSACTION_REPEATABLE_READ,
            SERIALIZABLE=Connection.TRANSACTION_SERIALIZABLE,
        )
        return shared

    # named queries

    def runNamedQuery(self, project=None, path=None, parameters=None, tx=None, getKey=False):
        if self._sessions.current() is not None:
            if project is not None and path is None:
                project, path = None, project
            elif hasattr(path, "keys") and parameters is None:
                project, path, parameters = None, project, path
            project = self._project if project is None else project
        if path is None or isinstance(path, dict):
            raise IllegalArgumentException(
                "runNamedQuery: in gateway scope the project comes first: runNamedQuery(project, path, parameters)"
                " or runNamedQuery(project=..., path=..., parameters={...})"
            )
        if not isinstance(path, basestring) or not isinstance(project, basestring):
            raise ClassCastException("runNamedQuery(): project and path are strings")
        return self._named("runNamedQuery", project, path, parameters, tx, getKey, None)

    def execQuery(self, path, parameters=None, tx=None, project=None):
        return self._named("execQuery", project, path, parameters, tx, False, ("Query",))

    def execScalar(self, path, parameters=None, tx=None, project=None):
        return self._named("execScalar", project, path, parameters, tx, False, ("ScalarQuery", "Query"))

    def execUpdate(self, path, parameters=None, tx=None, getKey=False, project=None):
        return self._named("execUpdate", project, path, parameters, tx, getKey, ("UpdateQuery",))

    def _named(self, function, project, path, given, tx, get_key, kinds):
        if given is not None and not hasattr(given, "keys"):
            raise ClassCastException("%s(): the parameters are a dictionary" % function)
        if project is not None and project != self._project:
            raise JavaException("ProjectNotFoundException: Project %s not found" % project)
        query = self._queries.get(path)
        if query is None:
            raise JavaException(
                "NamedQueryNotFound: Named query '%s' not found in %s" % (path, self._project)
            )
        if not query["enabled"]:
            raise JavaException("Named query '%s' is disabled." % path)
        if kinds is not None and query["type"] not in kinds:
            raise IllegalArgumentException(
                "%s: named query '%s' is of type %s" % (function, path, query["type"])
            )
        values = self._values(path, query, given or {})
        database = values.pop("database", None) if query["database"] == "{}" else query["database"]
        sql, bound = _filled(query, values)
        work = self._worker(query, function, get_key)
        return self._run(
            "system.db.%s(%s)" % (function, path),
            (database, tx, sql, lambda s: parameters.bind_typed(s, bound), work),
        )

    def _values(self, path, query, given):
        """By declared name. What is missing is NULL, as in Ignition, and a warning, as it should be."""
        names = {_plain(key): value for key, value in dict(given).items()}
        missing = sorted(set(query["parameters"]) - set(names))
        extra = sorted(set(names) - set(query["parameters"]))
        if missing or extra:
            self._parent.log(
                "WARN",
                "NamedQuery",
                "%s: without %s, not declared: %s"
                % (path, ", ".join(missing) or "nothing", ", ".join(extra) or "nothing"),
            )
        return {name: names.get(name) for name in query["parameters"]}

    def _worker(self, query, function, get_key):
        if query["type"] == "UpdateQuery":
            return _updated_keys if get_key else _updated
        if query["type"] == "ScalarQuery" or function == "execScalar":
            return _scalar

        def rows(statement):
            if query["max_rows"] is not None:
                statement.setMaxRows(query["max_rows"])
            found = datasets.read(statement.executeQuery())
            return datasets.PyDataSet(found) if self._newer else found

        return rows

    # prepared statements

    def runPrepQuery(self, query, args, database="", tx=None):
        return datasets.PyDataSet(
            self._prepared(
                "runPrepQuery", query, args, database, tx, lambda s: datasets.read(s.executeQuery())
            )
        )

    def runScalarPrepQuery(self, query, args, database="", tx=None):
        return self._prepared("runScalarPrepQuery", query, args, database, tx, _scalar)

    def runPrepUpdate(self, query, args, database="", tx=None, getKey=0, skipAudit=0):
        return self._prepared(
            "runPrepUpdate", query, args, database, tx, _updated_keys if getKey else _updated
        )

    def _prepared(self, function, query, args, database, tx, work):
        if not database and tx is None:
            raise IllegalArgumentException(
                "%s: in gateway scope the database connection must be named" % function
            )
        if isinstance(args, basestring) or not hasattr(args, "__iter__"):
            raise ClassCastException("%s(): the arguments are a list" % function)
        return self._run(
            "system.db.%s(%s, %r, %s)" % (function, query, list(args), database),
            (database, tx, query, lambda s: parameters.bind_plain(s, args), work),
        )

    # transactions

    def beginTransaction(
        self, database="", isolationLevel=Connection.TRANSACTION_READ_COMMITTED, timeout=30000
    ):
        if not database:
            raise IllegalArgumentException(
                "beginTransaction: in gateway scope the database connection must be named"
            )
        return self._guarded(
            "system.db.beginTransaction", self._sources.begin, database, isolationLevel, timeout
        )

    def beginNamedQueryTransaction(self, *arguments):
        """(project, database, isolationLevel, timeout); with less it gives None, as on a gateway."""
        if len(arguments) > 4:
            raise TypeError(
                "beginNamedQueryTransaction() takes at most 4 arguments (%d given)" % len(arguments)
            )
        if len(arguments) < 4:
            return None
        project, database, isolation, timeout = arguments
        if project != self._project:
            raise JavaException("ProjectNotFoundException: Project %s not found" % project)
        return self._guarded(
            "system.db.beginNamedQueryTransaction", self._sources.begin, database, isolation, timeout
        )

    def commitTransaction(self, tx):
        self._guarded("system.db.commitTransaction", self._sources.commit, tx)

    def rollbackTransaction(self, tx):
        self._guarded("system.db.rollbackTransaction", self._sources.rollback, tx)

    def closeTransaction(self, tx):
        self._guarded("system.db.closeTransaction", self._sources.close, tx)

    # errors

    def _run(self, what, how):
        return self._guarded(what, self._sources.run, *how)

    def _guarded(self, what, work, *arguments):
        try:
            return work(*arguments)
        except IllegalArgumentException:
            raise
        except Throwable as error:
            raise JavaException("Error executing %s: %s" % (what, error.getMessage()), error)


def _plain(key):
    if not isinstance(key, basestring):
        raise ClassCastException("parameter names are strings, found %r" % key)
    return unicode(key)


def _filled(query, values):
    """The statement with its pasted texts, and what belongs to its question marks."""
    sql, bound = [], []
    for segment in query["segments"]:
        if isinstance(segment, basestring):
            sql.append(segment)
        elif "value" in segment:
            name = segment["value"]
            bound.append((name, query["parameters"][name]["sql_type"], values[name]))
            sql.append("?")
        else:
            sql.append(unicode(values[segment["text"]]))
    return "".join(sql), bound


def _updated(statement):
    return statement.executeUpdate()


def _updated_keys(statement):
    raise IllegalArgumentException(
        "getKey is not supported by the stand-in; use INSERT ... RETURNING in a Query"
    )


def _scalar(statement):
    results = statement.executeQuery()
    return results.getObject(1) if results.next() else None
