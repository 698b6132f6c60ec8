"""The parsers, under the same file names as the calculations whose results they read."""
