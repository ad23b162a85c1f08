"""Credentials are taken out of texts before these are on the log; in their place stands what kind it was."""
