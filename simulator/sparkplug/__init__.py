"""The plant as Sparkplug B sees it: its own wire format, its edge node, and the faults of one."""
