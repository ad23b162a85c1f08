"""Faust and Kafka: apps, logs, tables and their repairs. It knows neither of the two protocols."""
