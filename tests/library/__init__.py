"""The wheel, as programs of others use it."""
