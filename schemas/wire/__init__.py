"""Events as bytes: Avro schemas, the compiled binary form, the codec and the registry."""
