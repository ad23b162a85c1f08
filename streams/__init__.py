"""Faust shells, the settings and the command line: the only package that may import all others."""
