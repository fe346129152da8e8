"""The agent's tables as Delta tables behind a SQL warehouse: one statement a file, in their order."""
