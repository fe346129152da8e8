"""Perspective in the stand-in: the built project's views, alive on the server and drawn by a small browser client."""
