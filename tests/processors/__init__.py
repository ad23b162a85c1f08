"""The deciders, alone and composed."""
