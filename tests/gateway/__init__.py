"""The gateway stand-in: project, tags, scripts, plant, and the closed loop through all of them."""
