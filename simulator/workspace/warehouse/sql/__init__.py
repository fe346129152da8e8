"""Databricks SQL read, judged and written again for PostgreSQL. Only this folder knows sqlglot."""
