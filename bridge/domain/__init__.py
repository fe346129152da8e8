"""Nouns and rules of the bridge. Pure: no I/O, no clock, no logger; time arrives as an argument."""
