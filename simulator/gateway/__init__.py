"""The gateway stand-in: runs the built Ignition project with real Jython, JDBC and OPC UA, and is never kinder."""
