"""Events, the envelope, ids, the Avro codec and the schema registry."""
