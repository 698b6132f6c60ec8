"""Workchains that give configurations their reference values, one per method."""
