"""A plant to run the bridge against: real OPC UA on the wire, faults by name, nothing shared with ``bridge``.

``simulator`` never imports ``bridge`` and is never imported by it; they meet on the wire, so that a test
proves what a real plant would see.
"""
