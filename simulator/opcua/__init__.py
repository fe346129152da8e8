"""The plant on the wire. Nothing outside this package knows asyncua."""
