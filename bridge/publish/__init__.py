"""The agent's tables as tags: one description of nodes, shown as an OPC UA server and as a Sparkplug edge node."""
