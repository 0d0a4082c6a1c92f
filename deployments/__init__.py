"""Where it runs: the command, the embedded stack, the serving process."""
