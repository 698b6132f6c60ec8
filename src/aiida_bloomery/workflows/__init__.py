"""The workflows of a campaign: the loop, and one workchain per stage of it."""
