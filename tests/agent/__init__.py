"""Tests of the agent's verbs: decide, execute, verify, recommend, intake, tend, and the loop around them."""
