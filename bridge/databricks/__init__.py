"""The Databricks workspace over plain REST: logins, Lakebase credentials, Genie, serving, jobs."""
