"""Tests of the topics and the clients."""
