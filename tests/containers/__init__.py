"""Tests of compose.yaml, the image, and what Prometheus and Grafana are given."""
