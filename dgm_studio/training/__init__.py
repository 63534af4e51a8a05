"""Training as a generator of updates: what a run does, and how it goes on after a stop."""
