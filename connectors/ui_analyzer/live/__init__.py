"""Checks of a running page in a real browser; everything here needs the optional extra `ui-live`."""
