"""The state tracker. It knows nothing of pytest."""
