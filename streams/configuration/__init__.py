"""What decides, as files: loaded, checked and hashed."""
