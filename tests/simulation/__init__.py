"""Deterministic simulation of the shells' protocol with the real deciders, under a seeded scheduler."""
