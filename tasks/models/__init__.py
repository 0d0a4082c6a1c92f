"""Network families, built from an architecture record; a network file holds one of them whole."""
