"""The calculations: one CalcJob per verb of the program `bloomery`, one per engine for training, and pw.x in packs."""
