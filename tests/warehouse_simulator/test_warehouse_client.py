"""Does an ordinary script of a client run as it would against a warehouse of Databricks?"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from databricks import sql
from databricks.sql.exc import Error
from urllib3.exceptions import HTTPError

from simulator.workspace.warehouse import Warehouse, serve

SCRIPT = Path(__file__).with_name("client_script.py")


def test_a_plain_script_makes_and_uses_the_six_tables(warehouse: Warehouse) -> None:
    """Ordinary DDL, ``?`` parameters, joins and counts, with host, path and token, over HTTPS."""
    environment = {
        **os.environ,
        "DATABRICKS_SERVER_HOSTNAME": "localhost",
        "DATABRICKS_HTTP_PATH": warehouse.http_path,
        "DATABRICKS_TOKEN": "a-token",
    }
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(warehouse.tls_port), str(warehouse.ca_file)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines() == [
        "readings 3",
        "highest 87.5 2.5",
        "approved approved operator 75.0 pending",
        "health 1 online",
        "defaults open active 0",
        "tables 6",
    ]


def test_https_with_a_certificate_that_is_not_trusted_is_no_connection(warehouse: Warehouse) -> None:
    """Who trusts nobody must not get in, and the warehouse goes on."""
    with pytest.raises(
        HTTPError, match="CERTIFICATE_VERIFY_FAILED"
    ):  # the connector lets urllib3's error through
        sql.connect(
            "localhost",
            warehouse.http_path,
            "a-token",
            _port=warehouse.tls_port,
            enable_telemetry=False,
            _enable_v3_retries=False,
            _retry_stop_after_attempts_count=1,
        )

    assert warehouse.run_sql("select 1").rows == [(1,)]


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_https_without_looking_at_the_certificate(warehouse: Warehouse) -> None:
    with sql.connect(
        "127.0.0.1",
        warehouse.http_path,
        "a-token",
        _port=warehouse.tls_port,
        _tls_no_verify=True,
        enable_telemetry=False,
    ) as connection:
        cursor = connection.cursor()
        cursor.execute("select 1 as one")

        assert cursor.fetchall() == [(1,)]


def test_only_accepted_tokens_come_in(database_url: str) -> None:
    """The token is looked at with every request, so that one that ends does so in mid-session."""
    valid = {"good"}
    with serve(database_url=database_url, accepts=valid.__contains__) as warehouse:
        settings: dict[str, Any] = {
            "_connection_uri": warehouse.http_uri,
            "enable_telemetry": False,
            "_retry_stop_after_attempts_count": 1,
        }
        with pytest.raises(Error, match="Invalid access token"):
            sql.connect("127.0.0.1", warehouse.http_path, "bad", **settings)
        with sql.connect("127.0.0.1", warehouse.http_path, "good", **settings) as connection:
            cursor = connection.cursor()
            cursor.execute("select 1")
            valid.clear()
            with pytest.raises(Error, match="Invalid access token"):
                cursor.execute("select 1")
            valid.add("good")


def test_data_outlive_the_server(database_url: str) -> None:
    """What was committed must be there when the warehouse is started again over the same database."""
    with serve(database_url=database_url) as warehouse:
        warehouse.run_sql("create table kept (id int, primary key (id))")
        warehouse.run_sql("insert into kept values (7)")
    with serve(database_url=database_url) as warehouse:
        assert warehouse.run_sql("select * from kept").rows == [(7,)]


@pytest.mark.timeout(120)
def test_it_brings_its_own_database() -> None:
    """Without a URL an embedded server is started, and gone afterwards."""
    with serve() as warehouse:
        assert warehouse.run_sql("select lower('ÄÖ'), 'b' < 'a', 'B' < 'a'").as_text() == [
            ["äö", "false", "true"]
        ]
