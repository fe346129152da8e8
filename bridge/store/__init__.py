"""Where the agent's tables live: PostgreSQL (embedded or Lakebase) behind the `Store` port."""
