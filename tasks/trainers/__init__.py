"""The training loop, its checkpoints, and the launchers that run it."""
