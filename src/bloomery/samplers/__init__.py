"""Samplers: where new configurations come from."""
