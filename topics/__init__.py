"""The catalogue of Kafka topics, and which events they carry."""
