"""A small service with four leaks, each held another way, and healthy users of the same types beside them."""
