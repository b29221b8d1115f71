"""Reports of a state for people: counts and groups, lines for a terminal, pytest's summary."""
