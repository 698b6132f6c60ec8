"""The program `bloomery`: the single steps of a campaign, on plain files."""
