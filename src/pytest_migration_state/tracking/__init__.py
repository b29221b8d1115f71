"""The façade over a state, and the writer of a run of tests."""
