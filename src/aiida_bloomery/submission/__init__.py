"""Handing campaigns and trials of models over to the daemon."""
