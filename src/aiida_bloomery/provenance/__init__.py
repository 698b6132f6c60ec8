"""Questions asked of the graph: where a frame comes from, what became of it, and everything in one folder."""
