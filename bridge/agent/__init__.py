"""The agent's verbs, one module per arrow of the route: detect, recommend, decide, execute, verify, tend."""
