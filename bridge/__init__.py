"""The bridge between Lakebase agent tables and Ignition tags: approved actions, and nothing else, reach the plant."""

__version__ = "0.1.0"
