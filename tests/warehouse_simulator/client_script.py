"""What an ordinary client does with a warehouse: nothing here knows that it is simulated."""

from __future__ import annotations

import os
import sys
import uuid
from datetime import UTC, datetime

from databricks import sql
from databricks.sql.client import Cursor
from databricks.sql.types import Row

TABLES = [
    """
    CREATE TABLE IF NOT EXISTS sensor_data (
        sensor_id VARCHAR(50) PRIMARY KEY,
        equipment_id VARCHAR(50) NOT NULL,
        temperature FLOAT,
        pressure FLOAT,
        flow_rate FLOAT,
        sensor_status VARCHAR(20) DEFAULT 'active',
        timestamp TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
        recorded_by VARCHAR(50)
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS agent_recommendations (
        recommendation_id VARCHAR(50) NOT NULL,
        equipment_id VARCHAR(50) NOT NULL,
        issue_type VARCHAR(100),
        severity VARCHAR(20),
        temperature_reading FLOAT,
        pressure_reading FLOAT,
        flow_rate_reading FLOAT,
        root_cause_analysis TEXT,
        recommended_action TEXT,
        confidence_score FLOAT,
        status VARCHAR(20) DEFAULT 'pending',
        created_timestamp TIMESTAMP DEFAULT CURRENT_TIMESTAMP(),
        created_by_agent VARCHAR(50),
        approved_timestamp TIMESTAMP,
        approved_by_operator VARCHAR(100),
        operator_notes TEXT,
        rejected_timestamp TIMESTAMP,
        executed_timestamp TIMESTAMP,
        execution_result TEXT,
        PRIMARY KEY (recommendation_id)
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS agent_commands (
        command_id VARCHAR(50) PRIMARY KEY,
        recommendation_id VARCHAR(50),
        equipment_id VARCHAR(50),
        tag_path VARCHAR(200),
        new_value FLOAT,
        action_description TEXT,
        severity VARCHAR(20),
        status VARCHAR(20) DEFAULT 'pending',
        created_timestamp TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
        created_by_agent VARCHAR(50),
        executed_timestamp TIMESTAMP,
        execution_result TEXT,
        FOREIGN KEY (recommendation_id) REFERENCES agent_recommendations(recommendation_id)
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS agent_health (
        agent_id VARCHAR(50) PRIMARY KEY,
        last_heartbeat TIMESTAMP,
        status VARCHAR(20),
        polls_completed INT DEFAULT 0,
        created_timestamp TIMESTAMP DEFAULT CURRENT_TIMESTAMP
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS work_orders (
        work_order_id VARCHAR(50) PRIMARY KEY,
        recommendation_id VARCHAR(50),
        equipment_id VARCHAR(50),
        description TEXT,
        status VARCHAR(20) DEFAULT 'open',
        assigned_to VARCHAR(100),
        created_timestamp TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
        completed_timestamp TIMESTAMP,
        CONSTRAINT order_of_recommendation FOREIGN KEY (recommendation_id)
            REFERENCES agent_recommendations (recommendation_id)
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS operator_sessions (
        session_id VARCHAR(50) PRIMARY KEY,
        operator_id VARCHAR(100),
        login_timestamp TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
        logout_timestamp TIMESTAMP,
        status VARCHAR(20) DEFAULT 'active',
        approved_recommendations INT DEFAULT 0,
        rejected_recommendations INT DEFAULT 0
    )
    """,
]


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")


def one(cursor: Cursor) -> Row:
    row = cursor.fetchone()
    assert row is not None
    return row


def main() -> None:
    connection = sql.connect(
        server_hostname=os.environ["DATABRICKS_SERVER_HOSTNAME"],
        http_path=os.environ["DATABRICKS_HTTP_PATH"],
        access_token=os.environ["DATABRICKS_TOKEN"],
        _port=int(sys.argv[1]),
        _tls_trusted_ca_file=sys.argv[2],
        enable_telemetry=False,
    )
    cursor = connection.cursor()
    for statement in TABLES * 2:
        cursor.execute(statement)
    now = datetime.now(UTC)
    for number in range(3):
        cursor.execute(
            "INSERT INTO sensor_data (sensor_id, equipment_id, temperature, pressure, flow_rate, recorded_by) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            [str(uuid.uuid4()), "REACTOR_01", 85.5 + number, 2.5, 120.0, "script"],
        )
    recommendation = str(uuid.uuid4())
    cursor.execute(
        "INSERT INTO agent_recommendations (recommendation_id, equipment_id, issue_type, severity, "
        "temperature_reading, root_cause_analysis, recommended_action, confidence_score, created_by_agent) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            recommendation,
            "REACTOR_01",
            "HIGH_TEMPERATURE",
            "critical",
            87.5,
            "it's hot",
            "reduce",
            0.9,
            "agent",
        ],
    )
    cursor.execute(
        "UPDATE agent_recommendations SET status = ?, approved_by_operator = ?, approved_timestamp = ? "
        "WHERE recommendation_id = ? AND status = 'pending'",
        ["approved", "operator", now, recommendation],
    )
    cursor.execute(
        "INSERT INTO agent_commands (command_id, recommendation_id, equipment_id, tag_path, new_value, severity) "
        "SELECT ?, recommendation_id, equipment_id, ?, ?, severity FROM agent_recommendations "
        "WHERE status = 'approved'",
        [str(uuid.uuid4()), "[default]REACTOR_01/Setpoint", 75],
    )
    cursor.execute(
        "INSERT INTO agent_health (agent_id, last_heartbeat, status) VALUES (?, ?, ?)", ["a", now, "online"]
    )
    cursor.execute("UPDATE agent_health SET polls_completed = polls_completed + 1 WHERE agent_id = ?", ["a"])
    cursor.execute(
        "INSERT INTO work_orders (work_order_id, recommendation_id) VALUES (?, ?)", ["w", "no such parent"]
    )
    cursor.execute("INSERT INTO operator_sessions (session_id, operator_id) VALUES (?, ?)", ["s", "operator"])

    cursor.execute("SELECT COUNT(*) FROM sensor_data WHERE equipment_id = ?", ["REACTOR_01"])
    say("readings", one(cursor)[0])
    cursor.execute("SELECT MAX(temperature), AVG(pressure) FROM sensor_data WHERE timestamp >= ?", [now])
    say("highest", *one(cursor))
    cursor.execute(
        "SELECT r.status, r.approved_by_operator, c.new_value, c.status FROM agent_recommendations r "
        "JOIN agent_commands c ON r.recommendation_id = c.recommendation_id ORDER BY c.created_timestamp DESC LIMIT 10"
    )
    say("approved", *cursor.fetchall()[0])
    cursor.execute("SELECT polls_completed, status FROM agent_health")
    say("health", *one(cursor))
    cursor.execute(
        "SELECT w.status, s.status, s.approved_recommendations FROM work_orders w, operator_sessions s"
    )
    say("defaults", *one(cursor))
    cursor.execute("SHOW TABLES")
    say("tables", len(cursor.fetchall()))
    cursor.close()
    connection.close()


main()
