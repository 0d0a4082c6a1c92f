"""HTTP in front of the champion."""
