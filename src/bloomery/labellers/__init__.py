"""Labellers that run in one process: where reference values come from."""
