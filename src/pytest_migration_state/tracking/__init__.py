"""The façade over a state, and what a run of tests writes."""
