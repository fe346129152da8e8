"""A Databricks workspace on loopback: with state, faithful on the wire, with faults by name, and never kinder."""
