"""Events, the envelope, ids, the codec and the registry."""
