# mypy: ignore-errors
"""What Ignition gives its scripts, as far as the stand-in has it."""
