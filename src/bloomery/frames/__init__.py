"""Frames: configurations with their labels, how they are read, kept, cut up and shared out, and their neighbours."""
