"""Hostile input by the thousand: files, archives and requests made from a seed, each of which must get an answer."""
