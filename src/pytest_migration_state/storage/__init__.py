"""Where a state lives."""
