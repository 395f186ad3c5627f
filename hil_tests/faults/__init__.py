"""The fault catalogue: what is broken, how it is proved, what must happen then, and the source of that."""
