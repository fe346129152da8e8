-- name: store_readings
-- what: Store the bridge's own readings in bulk; rows come in COPY text format.
-- role: bridge_agent
copy sensor_data (equipment_id, sensor_id, timestamp, temperature, pressure, flow_rate, signals, quality, source_status,
                  sensor_status, replayed, received_timestamp, recorded_by, external_xid) from stdin
