"""Sparkplug B without any input or output: payloads, data types and topics, for hosts and for edge nodes."""
