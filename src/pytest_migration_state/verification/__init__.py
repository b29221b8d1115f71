"""Checking a state: the hash chain of its log, and its document against the log."""
