"""The wires to the plant: every link implements the `TagLink` port and fences one protocol library."""
