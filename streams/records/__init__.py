"""Records as they come and go, read and checked; what every shell shares."""
