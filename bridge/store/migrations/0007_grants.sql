-- What each party may touch. Column grants say which fields, the triggers say which values.
do $$
begin
    execute format('grant usage on schema %I to bridge_agent, bridge_operator, bridge_reader', current_schema());
end
$$;

grant select on sensor_data, agent_recommendations, agent_commands, agent_health, work_orders, operator_sessions,
    approvals, bridge_control, tag_limits, equipment_conditions, lifecycle_arrows, agent_audit, agent_audit_head,
    bridge_migrations
    to bridge_agent, bridge_operator, bridge_reader;

-- The agent proposes and executes. It has no right to any column that says who decided.
grant insert on sensor_data to bridge_agent;
grant usage on sequence sensor_reading_number, recommendation_number, command_number, work_order_number to bridge_agent;
grant insert (recommendation_id, equipment_id, issue_type, severity, temperature_reading, pressure_reading, flow_rate_reading,
              root_cause_analysis, recommended_action, confidence_score, status, created_timestamp, created_by_agent,
              proposed_writes, expected_outcome, evidence, source, expires_at, approvals_required)
    on agent_recommendations to bridge_agent;
grant update (severity, temperature_reading, pressure_reading, flow_rate_reading, root_cause_analysis, recommended_action,
              confidence_score, status, execution_result, executed_timestamp, proposed_writes, expected_outcome, evidence,
              source, expires_at)
    on agent_recommendations to bridge_agent;
grant insert on agent_commands to bridge_agent;
grant update (status, executed_timestamp, execution_result, claimed_by, claimed_timestamp, lease_expires_at,
              sent_timestamp, verified_timestamp, read_back_value, result_code)
    on agent_commands to bridge_agent;
grant insert, update on agent_health to bridge_agent;
grant insert on work_orders to bridge_agent;
grant insert, update on equipment_conditions to bridge_agent;
grant execute on function prepare_sensor_days, drop_sensor_days to bridge_agent;

-- The operator decides, arms and disarms, and, through the gateway, executes what is routed to it.
grant update (status, approved_timestamp, approved_by_operator, operator_notes, rejected_timestamp, rejection_reason,
              decided_by_operator, defer_until)
    on agent_recommendations to bridge_operator;
grant insert (recommendation_id, operator, digest, comment) on approvals to bridge_operator;
grant update (status, executed_timestamp, execution_result, claimed_by, claimed_timestamp, lease_expires_at,
              sent_timestamp, verified_timestamp, read_back_value, result_code, settled_by)
    on agent_commands to bridge_operator;
grant update (armed, changed_by, reason) on bridge_control to bridge_operator;
-- Existing gateways insert readings and work orders over this connection.
grant insert on sensor_data, work_orders to bridge_operator;
grant usage on sequence sensor_reading_number, work_order_number to bridge_operator;
grant update (status, assigned_to, completed_timestamp) on work_orders to bridge_operator;
grant insert, update on operator_sessions to bridge_operator;
grant usage on sequence operator_session_number to bridge_operator;
