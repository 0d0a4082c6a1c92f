"""New rows, and those a champion learned from, as series that can be compared; bounded in memory."""
