"""From pytest to the state: loaded only with --migration-state."""
