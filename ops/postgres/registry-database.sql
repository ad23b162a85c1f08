-- Runs once, when the volume is new: the schema registry has a database of its own.
CREATE DATABASE registry;
