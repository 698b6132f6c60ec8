"""Observables: what is measured on a potential, a trajectory or a set of frames."""
