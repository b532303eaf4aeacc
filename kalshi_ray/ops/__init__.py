"""Running it: what has to be there, and what is."""
