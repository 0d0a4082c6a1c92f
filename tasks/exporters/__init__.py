"""From a trained network to a file that anybody can run, and to pages that anybody can read."""
