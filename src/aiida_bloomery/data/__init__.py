"""What flows between the calculations: many frames in one node, a fitted potential in one node."""
