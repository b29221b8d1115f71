"""The model and the rules of a migration: pure functions without files, clock or pytest."""
