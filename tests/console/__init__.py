"""The console's files: what is in them, and how they behave in a browser, without a stack."""
