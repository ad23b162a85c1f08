"""Tests of the UI analyzer."""
