"""Importers that turn the results of other tools into events. They do not know where a state is stored."""
