"""The functions of `system.*` that exist, so that a misspelt one is found before a person presses a button.

Only packages whose functions are all listed here are looked at; 8.1 and 8.3 together, deprecated ones too.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


PACKAGES = _words(
    "alarm bacnet cirruslink dataset date db device dnp dnp3 eam file groups gui historian iec61850 kafka math "
    "mongodb mqtt nav net opc opcda opchda opcua perspective print project report roster secrets secsgem security "
    "serial sfc tag twilio user util vision websocket webdev"
)

FUNCTIONS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        package: frozenset(names.split())
        for package, names in {
            "perspective": (
                "alterDock alterLogging authenticationChallenge closeDock closePage closePopup closeSession download "
                "getProjectInfo getSessionInfo isAuthorized login logout navigate navigateBack navigateForward "
                "openDock openPopup print refresh sendMessage setTheme toggleDock togglePopup vibrateDevice "
                "workstation subscribeToInformation"
            ),
            "db": (
                "addDatasource beginNamedQueryTransaction beginTransaction clearAllNamedQueryCaches "
                "clearNamedQueryCache closeTransaction commitTransaction createSProcCall dateFormat execQuery "
                "execScalar execSProcCall execUpdate execUpdateAsync getConnectionInfo getConnections queueUpdate "
                "refresh removeDatasource rollbackTransaction runNamedQuery runPrepQuery runPrepUpdate "
                "runQuery runSFNamedQuery runSFPrepUpdate runSFUpdateQuery runScalarPrepQuery runScalarQuery "
                "runUpdateQuery setDatasourceConnectURL setDatasourceEnabled setDatasourceMaxConnections "
                "BIT REAL CHAR VARCHAR INTEGER BIGINT DOUBLE NULL DATE TIME TIMESTAMP BOOLEAN FLOAT NUMERIC "
                "DECIMAL TINYINT SMALLINT LONGVARCHAR BINARY VARBINARY LONGVARBINARY ORACLE_CURSOR CLOB BLOB "
                "NCHAR NVARCHAR LONGNVARCHAR NCLOB ROWID OTHER JAVA_OBJECT ARRAY STRUCT REF DATALINK SQLXML DISTINCT"
            ),
            "tag": (
                "browse browseConfiguration browseHistoricalTags browseTags browseTagsSimple configure copy "
                "deleteAnnotations deleteTag deleteTags exists exportTags getAlarmStates getConfiguration "
                "importTags isOverlaysEnabled loadFromFile move queryAnnotations queryTagCalculations "
                "queryTagDensity queryTagHistory query read readAll readAsync readBlocking rename "
                "requestGroupExecution setOverlaysEnabled storeAnnotations storeTagHistory write writeAll "
                "writeAllSynchronous writeAsync writeBlocking writeSynchronous addTag editAlarmConfig editTag "
                "editTags editTagsFromJSON getAlarmConfig removeTag removeTags"
            ),
            "date": (
                "addDays addHours addMillis addMinutes addMonths addSeconds addWeeks addYears daysBetween format "
                "fromMillis getAMorPM getDate getDayOfMonth getDayOfWeek getDayOfYear getHour12 getHour24 getMillis "
                "getMinute getMonth getQuarter getSecond getTimezone getTimezoneOffset getTimezoneRawOffset getYear "
                "hoursBetween isAfter isBefore isBetween isDaylightTime midnight millisBetween minutesBetween "
                "monthsBetween now parse secondsBetween setTime toMillis weeksBetween yearsBetween"
            ),
            "dataset": (
                "addColumn addRow addRows appendDataset clearDataset dataSetToExcel dataSetToHTML deleteRow "
                "deleteRows exportCSV exportExcel exportHTML filterColumns formatDates fromCSV getColumnHeaders "
                "setValue sort toCSV toDataSet toExcel toPyDataSet updateRow"
            ),
            "project": "getProjectName getProjectNames requestScan getResourceSignature getParentProject",
        }.items()
    }
)


def unknown(dotted: str) -> tuple[str, str] | None:
    """What is wrong with a name such as `system.tag.readBlockin` and what there is instead; None when nothing."""
    parts = dotted.split(".")
    if len(parts) < 3 or parts[0] != "system":
        return None
    package, name = parts[1], parts[2]
    if package not in PACKAGES:
        return f"there is no system.{package}", f"there are {', '.join(sorted(PACKAGES))}"
    names = FUNCTIONS.get(package)
    if names is None or name in names or name.startswith("__"):
        return None
    alike = sorted(other for other in names if other[:4].lower() == name[:4].lower())
    return f"there is no system.{package}.{name}", f"it has {', '.join(alike or sorted(names))}"
