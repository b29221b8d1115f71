"""From pytest to the state: loaded only with --migration-state, and on xdist's workers only what they need of it."""
