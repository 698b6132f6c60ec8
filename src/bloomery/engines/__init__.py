"""Engines: the codes that fit potentials."""
