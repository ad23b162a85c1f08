"""What the folders may import, and how the code must be."""
