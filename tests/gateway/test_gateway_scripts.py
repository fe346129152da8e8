"""Do scripts meet on real Jython and JDBC what they would meet on a gateway, and never more?"""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from gateway.gateway_stand import LOGIN
from simulator.gateway.process import GatewayProcess, OrderRefused


@pytest.fixture(autouse=True)
def empty_table(probe_database: str) -> None:
    with psycopg.connect(probe_database, autocommit=True) as owner:
        owner.execute("truncate probe")


@pytest.fixture(scope="module")
def older(arguments: list[str]) -> Iterator[GatewayProcess]:
    """A gateway of 8.1 with its one manual step."""
    timer = "Count 20 probe.calls.beat()"
    with GatewayProcess.start(*arguments, "--target", "8.1", "--timer", timer) as process:
        yield process


def shows(gateway: GatewayProcess, expression: str) -> str:
    return str(gateway.call("probe.calls.shows", expression))


def raises(gateway: GatewayProcess, expression: str) -> str:
    return str(gateway.call("probe.calls.raises", expression))


# the language and the library


def test_it_is_jython_2_7_on_the_jvm(gateway: GatewayProcess) -> None:
    assert shows(gateway, "(1 / 2, str(java.lang.System.getProperty('java.version')) > '11')") == "(0, True)"
    assert shows(gateway, "probe.deep.other.answer()") == "42"
    assert gateway.call("probe.deep.other.answer") == 42


def test_calls_to_nowhere_are_named(gateway: GatewayProcess) -> None:
    with pytest.raises(OrderRefused, match=r"no script u?'probe\.nobody'"):
        gateway.call("probe.nobody.f")
    assert "has no script or folder 'nobody'" in raises(gateway, "__import__('probe').nobody.f()")


@pytest.mark.parametrize(
    "call",
    [
        "system.alarm.queryStatus()",
        "system.tag.browse('[default]')",
        "system.db.runSFUpdateQuery('q', [])",
        "system.gui.messageBox('x')",
    ],
)
def test_what_is_not_supported_is_refused_by_name(gateway: GatewayProcess, call: str) -> None:
    name = call.partition("(")[0]
    assert raises(gateway, call) == f"python NotSupported: {name} is not supported by the stand-in"


# timers and the log


def test_a_timer_runs_and_its_failure_is_logged(gateway: GatewayProcess) -> None:
    before, _ = gateway.read("[default]Count")
    assert gateway.run_timer("Beat") > 0
    assert gateway.read("[default]Count") == (before + 1, "Good")
    with pytest.raises(OrderRefused, match="no_such_table"):
        gateway.run_timer("Fail")
    log = gateway.log()
    assert "INFO script.probe.calls about to fail" in log
    assert "INFO script.print printed before failing" in log
    assert "ERROR script.ScriptManager.Timer timer 'Fail' failed" in log
    with pytest.raises(OrderRefused, match="no timer is called 'Nobody'"):
        gateway.run_timer("Nobody")


def test_loggers_take_one_java_exception(gateway: GatewayProcess) -> None:
    shows(gateway, "system.util.getLogger('a.b').warnf('n=%d of %s', 3, 'x')")
    shows(gateway, "system.util.getLogger('a.b').error('went wrong', java.lang.Exception('inside'))")
    assert "WARNING script.a.b n=3 of x" in gateway.log()
    assert "java.lang.Exception: inside" in gateway.log()
    said = raises(gateway, "system.util.getLogger('a').error('x', ValueError('y'))")
    assert said == "python TypeError: error(): 2nd arg can't be coerced to java.lang.Throwable"


# tags


def test_tags_are_read_as_qualified_values(gateway: GatewayProcess) -> None:
    assert gateway.call("probe.calls.quality", "[default]Note") == "hello Good True 192"
    missing = gateway.call("probe.calls.quality", "[default]Nobody")
    assert missing == "None Bad_NotFound(\"Path '[default]Nobody' not found.\") False -2147483129"
    shown = shows(gateway, "system.tag.readBlocking([NOTE])[0].timestamp.getClass().getName()")
    assert shown == "java.util.Date"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("system.tag.readBlocking()", "python TypeError: readBlocking() takes at least 1 argument"),
        ("system.tag.readBlocking(7)", "python TypeError: readBlocking(): 1st arg can't be coerced to List"),
        (
            "system.tag.readBlocking(['Note'])",
            "java java.lang.IllegalArgumentException: readBlocking: 'Note' names no",
        ),
        (
            "system.tag.readBlocking(['[edge]Note'])",
            "java java.lang.Exception: there is no tag provider [edge]",
        ),
        (
            "system.tag.writeBlocking([NOTE], [])",
            "java java.lang.IllegalArgumentException: writeBlocking: 1 tag",
        ),
        ("system.tag.writeBlocking([NOTE], [{}])", "python TypeError: a tag cannot hold a"),
        (
            "system.perspective.sendMessage('x')",
            "java java.lang.IllegalStateException: system.perspective.sendMessage",
        ),
        ("system.util.sendMessage(PROJECT, 'x', {}, scope='Q')", "java java.lang.IllegalArgumentException"),
        ("system.date.format('now')", "python TypeError: format(): a java.util.Date is wanted"),
    ],
)
def test_wrong_calls_fail_as_on_a_gateway(gateway: GatewayProcess, call: str, said: str) -> None:
    assert raises(gateway, call).startswith(said)


# named queries


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            "system.db.runNamedQuery('Probe/all', {})",
            "java java.lang.IllegalArgumentException: runNamedQuery: in gateway",
        ),
        (
            "system.db.runNamedQuery('Other', 'Probe/all', {})",
            "java java.lang.Exception: ProjectNotFoundException",
        ),
        (
            "system.db.runNamedQuery(PROJECT, 'Probe/none', {})",
            "java java.lang.Exception: NamedQueryNotFound",
        ),
        ("system.db.runNamedQuery(PROJECT, 'Probe/all', [])", "java java.lang.ClassCastException"),
        (
            "system.db.execUpdate('Probe/all')",
            "java java.lang.IllegalArgumentException: execUpdate: named query",
        ),
        (
            "system.db.runPrepQuery('select 1', [])",
            "java java.lang.IllegalArgumentException: runPrepQuery: in gateway",
        ),
        ("system.db.runPrepQuery('select 1', [], 'Nobody')", "java java.lang.Exception: Error executing"),
        (
            "system.db.runNamedQuery(PROJECT, 'Probe/count', {'low': '3'})",
            "java java.lang.IllegalArgumentException: parameter 'low'",
        ),
        (
            "system.db.runNamedQuery(PROJECT, 'Probe/count', {'low': 2.5})",
            "java java.lang.IllegalArgumentException: parameter 'low'",
        ),
        (
            "system.db.runNamedQuery(PROJECT, 'Probe/add', {'n': 1, 'word': 'x', 'at': '2026-01-01'})",
            "java java.lang.IllegalArgumentException: parameter 'at'",
        ),
    ],
)
def test_wrong_queries_fail_as_on_a_gateway(gateway: GatewayProcess, call: str, said: str) -> None:
    assert raises(gateway, call).startswith(said)


def test_a_database_error_is_a_java_exception_with_the_drivers_as_cause(gateway: GatewayProcess) -> None:
    assert gateway.call("probe.calls.sqlCauses") == (
        "java.lang.Exception <- org.postgresql.util.PSQLException 42P01"
    )


def test_parameters_go_by_their_declared_type(gateway: GatewayProcess) -> None:
    given = (
        "{'i1': 7, 'i8': 2 ** 40, 'f4': 0.5, 'f8': 0.1, 'b': True, 's': 12, 't': system.date.fromMillis(0)}"
    )
    rows = f"system.db.runNamedQuery(PROJECT, 'Probe/types', {given})"
    assert (
        shows(gateway, f"[{rows}.getValueAt(0, n) for n in range(6)]")
        == "[7, 1099511627776L, 0.5, 0.1, True, u'12']"
    )
    assert shows(gateway, f"{rows}.getValueAt(0, 't').getTime()") == "0"


def test_a_missing_parameter_is_null_and_an_extra_one_nothing_but_a_warning(gateway: GatewayProcess) -> None:
    gateway.call("probe.calls.addRows", 2)
    found = shows(gateway, "system.db.runNamedQuery(PROJECT, 'Probe/byWord', {'Word': 'w1'}).getRowCount()")
    assert found == "2"
    assert "Probe/byWord: without word, not declared: Word" in gateway.log()


def test_kinds_of_queries_answer_in_their_own_way(gateway: GatewayProcess) -> None:
    assert gateway.call("probe.calls.addRows", 3) == 3
    assert shows(gateway, "system.db.execUpdate('Probe/add', {'n': 10, 'word': 'x', 'at': None})") == "1"
    assert shows(gateway, "system.db.execScalar('Probe/count', {'low': 1})") == "3"
    assert gateway.call("probe.calls.session") == LOGIN


def test_transactions_commit_and_roll_back(gateway: GatewayProcess) -> None:
    assert gateway.call("probe.calls.inTransaction", False) == 0
    assert gateway.call("probe.calls.inTransaction", True) == 1
    begun = "system.db.beginNamedQueryTransaction(DB, system.db.READ_COMMITTED, 1000)"
    assert shows(gateway, begun) == "None"
    assert "does not exist or timed out" in raises(gateway, "system.db.commitTransaction('nobody')")


# datasets


def test_a_dataset_of_8_3_can_be_iterated(gateway: GatewayProcess) -> None:
    gateway.call("probe.calls.addRows", 2)
    assert (
        shows(gateway, "[(r['n'], r[1], len(r)) for r in probe.calls.dataset()]")
        == "[(0, u'w0', 4), (1, u'w1', 4)]"
    )
    assert "KeyError" in raises(gateway, "__import__('probe').calls.dataset()[0]['none']")
    assert "AttributeError" in raises(gateway, "__import__('probe').calls.dataset()[0].get('n')")


def test_a_dataset_of_8_1_cannot(older: GatewayProcess) -> None:
    older.call("probe.calls.addRows", 2)
    dataset = "__import__('probe').calls.dataset()"
    assert (
        raises(older, f"[r for r in {dataset}]") == "python TypeError: 'BasicDataset' object is not iterable"
    )
    assert raises(older, f"{dataset}[0]").startswith("python TypeError: 'BasicDataset' object")
    assert raises(older, f"len({dataset})").startswith("python TypeError")
    assert shows(older, "probe.calls.dataset().getValueAt(1, 'word')") == "w1"
    assert shows(older, "probe.calls.dataset().getColumnNames()") == "[u'n', u'word', u'big', u'at']"
    assert shows(older, "[r['n'] for r in system.dataset.toPyDataSet(probe.calls.dataset())]") == "[0, 1]"
    assert (
        shows(older, "probe.calls.dataset().getValueAt(0, 'big').getClass().getName()")
        == "java.math.BigDecimal"
    )
    for place in ("7, 0", "0, 'none'", "0, 9", "-1, 0"):
        said = raises(older, f"{dataset}.getValueAt({place})")
        assert said.startswith("java java.lang.ArrayIndexOutOfBoundsException")


def test_8_1_has_not_what_came_with_8_3(older: GatewayProcess) -> None:
    assert shows(older, "(hasattr(system.db, 'execQuery'), system.util.getVersion().minor)") == "(False, 1)"


def test_the_manual_timer_of_8_1_runs_and_shipped_ones_do_not(older: GatewayProcess) -> None:
    before, _ = older.read("[default]Count")
    older.run_timer("Count")
    assert older.read("[default]Count")[0] == before + 1
    with pytest.raises(OrderRefused, match="no timer is called 'Beat'"):
        older.run_timer("Beat")


# dates, JSON, messages


@pytest.mark.parametrize(
    ("expression", "shown"),
    [
        ("system.date.format(system.date.getDate(2026, 0, 31), 'yyyy-MM-dd')", "2026-01-31"),
        ("system.date.secondsBetween(system.date.fromMillis(0), system.date.fromMillis(61500))", "61"),
        ("system.date.toMillis(system.date.addMinutes(system.date.fromMillis(0), 2))", "120000"),
        ("system.date.parse('2026-03-01 10:00:00').getClass().getName()", "java.util.Date"),
        ("system.date.getMonth(system.date.getDate(2026, 5, 1))", "5"),
        ("system.util.jsonDecode(system.util.jsonEncode({'a': [1, None, True]}))['a']", "[1, None, True]"),
        ("system.util.sendMessage(PROJECT, 'hello', {'a': 1}, scope='S')[0].endswith('SENT')", "True"),
        ("system.perspective.getSessionInfo()", "[]"),
        ("system.project.getProjectName()", "Probe"),
    ],
)
def test_dates_json_and_messages(gateway: GatewayProcess, expression: str, shown: str) -> None:
    assert shows(gateway, expression) == shown
