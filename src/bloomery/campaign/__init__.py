"""The decisions of a campaign, from its record alone: what comes next, when it ends, and what would help."""
