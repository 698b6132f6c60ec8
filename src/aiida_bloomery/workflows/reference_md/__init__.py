"""Workchains that run a short trajectory driven by the reference method itself, one per method."""
