"""Selectors: which configurations of a pool are worth a label."""
