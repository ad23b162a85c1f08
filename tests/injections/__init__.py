"""Texts that ask agents for what nobody asked them for, and what becomes of it."""
