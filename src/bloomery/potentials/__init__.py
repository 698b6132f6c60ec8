"""Potentials, whatever fitted them: what they say, what their uncertainty is worth, and whether they may be used."""
