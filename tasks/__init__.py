"""How each step is done: verbs are files, nouns are folders."""
