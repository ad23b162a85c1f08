"""Tests of the sandbox for foreign code."""
