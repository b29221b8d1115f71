"""A state for people: counts and groups, the terminal, the summary of pytest."""
