"""Integrators of several trajectories at once."""
