"""A whole deployment under faults: what breaks it, and what has to hold afterwards."""
