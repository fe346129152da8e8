"""TCLIService over the warehouse: the Thrift protocol of the SQL connector. Only this file knows thrift."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from databricks.sql.thrift_api.TCLIService import TCLIService
from databricks.sql.thrift_api.TCLIService import ttypes as type_definitions
from thrift.protocol.TBinaryProtocol import TBinaryProtocolAccelerated  # type: ignore[import-untyped] # ships none
from thrift.Thrift import TException  # type: ignore[import-untyped] # ships none
from thrift.transport.TTransport import TMemoryBuffer  # type: ignore[import-untyped] # ships none

from simulator.workspace.warehouse import commands, metadata
from simulator.workspace.warehouse.engine import Context
from simulator.workspace.warehouse.errors import Refused
from simulator.workspace.warehouse.sessions import Operation, Session, Sessions, State
from simulator.workspace.warehouse.values import Column, Parameters, Result, Typed, text_of

ttypes: Any = type_definitions  # made by a generator, without types
PROTOCOL: Final = ttypes.TProtocolVersion.SPARK_CLI_SERVICE_PROTOCOL_V7
_DIRECT_WAIT_S: Final = (
    5.0  # an answer at once when the statement is that quick, a handle to ask about otherwise
)
_POLL_WAIT_S: Final = 0.5
_MOST_ROWS: Final = 100_000
_TYPES: Final = {
    "BOOLEAN": ("BOOLEAN_TYPE", "boolVal", ttypes.TBoolColumn),
    "TINYINT": ("TINYINT_TYPE", "byteVal", ttypes.TByteColumn),
    "SMALLINT": ("SMALLINT_TYPE", "i16Val", ttypes.TI16Column),
    "INT": ("INT_TYPE", "i32Val", ttypes.TI32Column),
    "BIGINT": ("BIGINT_TYPE", "i64Val", ttypes.TI64Column),
    "FLOAT": ("FLOAT_TYPE", "doubleVal", ttypes.TDoubleColumn),
    "DOUBLE": ("DOUBLE_TYPE", "doubleVal", ttypes.TDoubleColumn),
    "STRING": ("STRING_TYPE", "stringVal", ttypes.TStringColumn),
    "BINARY": ("BINARY_TYPE", "binaryVal", ttypes.TBinaryColumn),
    "TIMESTAMP": ("TIMESTAMP_TYPE", "stringVal", ttypes.TStringColumn),
    "TIMESTAMP_NTZ": ("TIMESTAMP_TYPE", "stringVal", ttypes.TStringColumn),
    "DATE": ("DATE_TYPE", "stringVal", ttypes.TStringColumn),
    "DECIMAL": ("DECIMAL_TYPE", "stringVal", ttypes.TStringColumn),
}
_EMPTY: Final[dict[str, object]] = {"boolVal": False, "doubleVal": 0.0, "stringVal": "", "binaryVal": b""}
_STATES: Final = {
    State.PENDING: ttypes.TOperationState.PENDING_STATE,
    State.RUNNING: ttypes.TOperationState.RUNNING_STATE,
    State.FINISHED: ttypes.TOperationState.FINISHED_STATE,
    State.FAILED: ttypes.TOperationState.ERROR_STATE,
    State.CANCELLED: ttypes.TOperationState.CANCELED_STATE,
    State.CLOSED: ttypes.TOperationState.CLOSED_STATE,
}


_CANCELLED: Final = Refused("OPERATION_CANCELED", "HY008", "Operation has been canceled.")


class NotThrift(Exception):
    """A body that is no call of the service."""


def method_of(body: bytes) -> str:
    """The call's name. Raises ``NotThrift``."""
    if len(body) < 8 or body[:2] != b"\x80\x01":
        raise NotThrift("the body is no Thrift call in the binary protocol")
    (length,) = struct.unpack("!I", body[4:8])
    return body[8 : 8 + length].decode(errors="replace")


class Service:
    """Answers calls; ``fresh`` gives the context that a new session begins with."""

    def __init__(self, sessions: Sessions, fresh: Callable[[], Context]) -> None:
        service: Any = TCLIService
        self._processor: Any = service.Processor(_Handler(sessions, fresh))

    def answer(self, body: bytes) -> bytes:
        """One call's reply. Raises ``NotThrift``."""
        method_of(body)
        replies = TMemoryBuffer()
        try:
            self._processor.process(
                TBinaryProtocolAccelerated(TMemoryBuffer(body)), TBinaryProtocolAccelerated(replies)
            )
        except (TException, EOFError, ValueError, TypeError) as error:
            raise NotThrift(f"the call cannot be read: {error}") from error
        return bytes(replies.getvalue())


def _ok() -> Any:
    return ttypes.TStatus(statusCode=ttypes.TStatusCode.SUCCESS_STATUS)


def _failed(error: Refused) -> Any:
    return ttypes.TStatus(
        statusCode=ttypes.TStatusCode.ERROR_STATUS,
        sqlState=error.sqlstate,
        errorMessage=error.message,
        displayMessage=error.message,
    )


def _invalid(what: str) -> Any:
    return ttypes.TStatus(
        statusCode=ttypes.TStatusCode.INVALID_HANDLE_STATUS,
        sqlState="08003",
        errorMessage=f"Invalid {what}: it was closed or has expired.",
    )


class _Handler:
    """The service's methods, named as the protocol names them."""

    def __init__(self, sessions: Sessions, fresh: Callable[[], Context]) -> None:
        self._sessions = sessions
        self._fresh = fresh

    def OpenSession(self, req: Any) -> Any:  # noqa: N802
        """A session with the catalog, schema and settings that the client asks for."""
        context = self._fresh()
        namespace = req.initialNamespace
        session = self._sessions.open(context)
        try:
            if namespace is not None and (namespace.catalogName or namespace.schemaName):
                where = ".".join(
                    f"`{part}`" for part in (namespace.catalogName, namespace.schemaName) if part
                )
                kind = "CATALOG " if not namespace.schemaName else ""
                self._sessions.run_quietly(f"USE {kind}{where}", context)
            for name, value in (req.configuration or {}).items():
                if name.upper() in (
                    "TIMEZONE",
                    "SPARK.SQL.SESSION.TIMEZONE",
                    "STATEMENT_TIMEOUT",
                    "ANSI_MODE",
                ):
                    self._sessions.run_quietly(f"SET {name} = '{value}'", context)
                else:
                    commands.keep_setting(context, name, value)
        except Refused as refused:
            self._sessions.close(session.id)
            return ttypes.TOpenSessionResp(status=_failed(refused), serverProtocolVersion=PROTOCOL)
        return ttypes.TOpenSessionResp(
            status=_ok(),
            serverProtocolVersion=PROTOCOL,
            sessionHandle=ttypes.TSessionHandle(
                sessionId=ttypes.THandleIdentifier(guid=session.id, secret=session.secret),
                serverProtocolVersion=PROTOCOL,
            ),
            initialNamespace=ttypes.TNamespace(catalogName=context.catalog, schemaName=context.schema),
            canUseMultipleCatalogs=True,
            getInfos=[],
        )

    def CloseSession(self, req: Any) -> Any:  # noqa: N802
        """What runs in it is cancelled."""
        closed = self._sessions.close(req.sessionHandle.sessionId.guid)
        return ttypes.TCloseSessionResp(status=_ok() if closed else _invalid("SessionHandle"))

    def ExecuteStatement(self, req: Any) -> Any:  # noqa: N802
        """Starts it; a quick one is answered whole."""
        session = self._sessions.find(req.sessionHandle.sessionId.guid, for_statement=True)
        if session is None:
            return ttypes.TExecuteStatementResp(status=_invalid("SessionHandle"))
        operation = self._sessions.start(session, req.statement, _parameters(req.parameters))
        return self._started(ttypes.TExecuteStatementResp, operation, req, "EXECUTE_STATEMENT")

    def GetOperationStatus(self, req: Any) -> Any:  # noqa: N802
        """Waits a little, so that a waiting client asks seldom."""
        operation = self._operation(req)
        if operation is None:
            return ttypes.TGetOperationStatusResp(status=_invalid("OperationHandle"))
        operation.wait(_POLL_WAIT_S)
        return _status(operation)

    def CancelOperation(self, req: Any) -> Any:  # noqa: N802
        """The statement stops, and nothing of it stays."""
        operation = self._operation(req)
        if operation is None:
            return ttypes.TCancelOperationResp(status=_invalid("OperationHandle"))
        operation.stop(State.CANCELLED)
        return ttypes.TCancelOperationResp(status=_ok())

    def CloseOperation(self, req: Any) -> Any:  # noqa: N802
        """Rows that were not fetched are gone."""
        operation = self._operation(req)
        if operation is None:
            return ttypes.TCloseOperationResp(status=_invalid("OperationHandle"))
        self._sessions.forget(operation.id)
        return ttypes.TCloseOperationResp(status=_ok())

    def GetResultSetMetadata(self, req: Any) -> Any:  # noqa: N802
        """The columns of a finished statement."""
        operation = self._operation(req)
        if operation is None:
            return ttypes.TGetResultSetMetadataResp(status=_invalid("OperationHandle"))
        operation.wait(_DIRECT_WAIT_S)
        if operation.state is not State.FINISHED:
            return ttypes.TGetResultSetMetadataResp(status=_failed(operation.error or _CANCELLED))
        return _described(operation.result)

    def FetchResults(self, req: Any) -> Any:  # noqa: N802
        """The next rows, from where the client is."""
        operation = self._operation(req)
        if operation is None:
            return ttypes.TFetchResultsResp(status=_invalid("OperationHandle"))
        if not operation.wait(_DIRECT_WAIT_S):
            return ttypes.TFetchResultsResp(
                status=ttypes.TStatus(statusCode=ttypes.TStatusCode.STILL_EXECUTING_STATUS), hasMoreRows=True
            )
        if operation.state is not State.FINISHED:
            return ttypes.TFetchResultsResp(status=_failed(operation.error or _CANCELLED))
        reply = _fetched(operation, int(req.maxRows or _MOST_ROWS))
        if req.includeResultSetMetadata:
            reply.resultSetMetadata = _described(operation.result)
        return reply

    def GetCatalogs(self, req: Any) -> Any:  # noqa: N802
        """All catalogs."""
        return self._answered(ttypes.TGetCatalogsResp, req, "GET_CATALOGS", metadata.catalogs())

    def GetSchemas(self, req: Any) -> Any:  # noqa: N802
        """Schemas by patterns of LIKE."""
        wanted = metadata.schemas(req.catalogName, req.schemaName)
        return self._answered(ttypes.TGetSchemasResp, req, "GET_SCHEMAS", wanted)

    def GetTables(self, req: Any) -> Any:  # noqa: N802
        """Tables and views by patterns of LIKE."""
        wanted = metadata.tables(req.catalogName, req.schemaName, req.tableName, req.tableTypes)
        return self._answered(ttypes.TGetTablesResp, req, "GET_TABLES", wanted)

    def GetColumns(self, req: Any) -> Any:  # noqa: N802
        """Columns by patterns of LIKE."""
        wanted = metadata.columns(req.catalogName, req.schemaName, req.tableName, req.columnName)
        return self._answered(ttypes.TGetColumnsResp, req, "GET_COLUMNS", wanted)

    def __getattr__(self, name: str) -> Callable[[Any], Any]:
        """Whatever else the protocol has is answered with an error that names it."""
        response = getattr(ttypes, f"T{name}Resp", None)
        if response is None:
            raise AttributeError(name)

        def refuse(req: Any) -> Any:
            text = f"The simulated warehouse does not answer {name}."
            return response(status=_failed(Refused("UNSUPPORTED_FEATURE.SIMULATOR", "0A000", text)))

        return refuse

    def _session(self, req: Any) -> Session | None:
        return self._sessions.find(req.sessionHandle.sessionId.guid)

    def _operation(self, req: Any) -> Operation | None:
        return self._sessions.operation(req.operationHandle.operationId.guid)

    def _answered(self, response: Any, req: Any, kind: str, wanted: metadata.Wanted) -> Any:
        session = self._session(req)
        if session is None:
            return response(status=_invalid("SessionHandle"))
        result = self._sessions.run_quietly(wanted.sql, self._fresh(), wanted.parameters)
        columns = tuple(
            Column(name, column.type) for name, column in zip(wanted.names, result.columns, strict=True)
        )
        operation = self._sessions.keep(session, wanted.sql, Result(columns, result.rows))
        return self._started(response, operation, req, kind)

    def _started(self, response: Any, operation: Operation, req: Any, kind: str) -> Any:
        handle = ttypes.TOperationHandle(
            operationId=ttypes.THandleIdentifier(guid=operation.id, secret=operation.secret),
            operationType=ttypes.TOperationType._NAMES_TO_VALUES[kind],
            hasResultSet=True,
        )
        direct = req.getDirectResults
        reply = response(status=_ok(), operationHandle=handle)
        if direct is None:
            return reply
        if not operation.wait(_DIRECT_WAIT_S):
            reply.directResults = ttypes.TSparkDirectResults(operationStatus=_status(operation))
            return reply
        results = ttypes.TSparkDirectResults(operationStatus=_status(operation))
        if operation.state is State.FINISHED:
            results.resultSetMetadata = _described(operation.result)
            results.resultSet = _fetched(operation, int(direct.maxRows or _MOST_ROWS))
            if not results.resultSet.hasMoreRows:
                results.closeOperation = ttypes.TCloseOperationResp(status=_ok())
                self._sessions.forget(operation.id)
        reply.directResults = results
        return reply


def _status(operation: Operation) -> Any:
    reply = ttypes.TGetOperationStatusResp(
        status=_ok(),
        operationState=_STATES[operation.state],
        hasResultSet=True,
        numModifiedRows=operation.result.affected,
    )
    if operation.error is not None:
        reply.sqlState = operation.error.sqlstate
        reply.errorMessage = operation.error.message
        reply.displayMessage = operation.error.message
    return reply


def _parameters(sent: Sequence[Any] | None) -> Parameters:
    if not sent:
        return None
    values = [
        (one.name, Typed(None if one.value is None else one.value.stringValue, one.type or "STRING"))
        for one in sent
    ]
    if all(name for name, _ in values):
        return {str(name): value for name, value in values}
    return [value for _, value in values]


def _described(result: Result) -> Any:
    columns = result.columns or (Column("Result", "STRING"),)
    return ttypes.TGetResultSetMetadataResp(
        status=_ok(),
        schema=ttypes.TTableSchema(
            columns=[_column(column, at) for at, column in enumerate(columns, start=1)]
        ),
        resultFormat=ttypes.TSparkRowSetType.COLUMN_BASED_SET,
        lz4Compressed=False,
        isStagingOperation=False,
    )


def _column(column: Column, position: int) -> Any:
    entry = ttypes.TPrimitiveTypeEntry(type=getattr(ttypes.TTypeId, _TYPES[column.type][0]))
    if column.type == "DECIMAL":
        entry.typeQualifiers = ttypes.TTypeQualifiers(
            qualifiers={
                "precision": ttypes.TTypeQualifierValue(i32Value=column.precision),
                "scale": ttypes.TTypeQualifierValue(i32Value=column.scale),
            }
        )
    return ttypes.TColumnDesc(
        columnName=column.name,
        typeDesc=ttypes.TTypeDesc(types=[ttypes.TTypeEntry(primitiveEntry=entry)]),
        position=position,
        comment="",
    )


def _fetched(operation: Operation, most: int) -> Any:
    """The rows after those that were fetched."""
    start = operation.fetched
    rows = operation.result.rows[start : start + most]
    operation.fetched = start + len(rows)
    columns = operation.result.columns or (Column("Result", "STRING"),)
    return ttypes.TFetchResultsResp(
        status=_ok(),
        hasMoreRows=operation.fetched < len(operation.result.rows),
        results=ttypes.TRowSet(
            startRowOffset=start,
            rows=[],
            columns=[_values(column, [row[at] for row in rows]) for at, column in enumerate(columns)],
        ),
    )


def _values(column: Column, values: Sequence[object]) -> Any:
    _, name, kind = _TYPES[column.type]
    nulls = bytearray((len(values) + 7) // 8)
    found: list[object] = []
    for number, value in enumerate(values):
        if value is None:
            nulls[number >> 3] |= 1 << (number & 7)
            found.append(_EMPTY.get(name, 0))
        elif name == "stringVal":
            found.append(
                text_of(value, column.type) if isinstance(value, datetime | date | Decimal) else str(value)
            )
        else:
            found.append(value)
    return ttypes.TColumn(**{name: kind(values=found, nulls=bytes(nulls))})
