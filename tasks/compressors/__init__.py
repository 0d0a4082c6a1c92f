"""Ways to make a network smaller, one file each."""
