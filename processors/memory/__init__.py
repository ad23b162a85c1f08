"""What a session remembers of its own past, within a bound: its latest turns, and a summary of the others."""
