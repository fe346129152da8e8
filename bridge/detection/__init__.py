"""Detectors over readings. Pure functions and numpy arrays; time comes from the readings themselves."""
