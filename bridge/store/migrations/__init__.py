"""The migrations, as package data: numbered SQL files that only ever go forward."""
