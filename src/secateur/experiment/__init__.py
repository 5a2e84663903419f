"""Recipe, arms, training loop, checkpoints, records, runs."""
