"""Pure deciders and projections: no clock, no I/O, no randomness, no Faust."""
