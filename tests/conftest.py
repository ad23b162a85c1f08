"""What holds for all tests: how Hypothesis draws."""

from hypothesis import HealthCheck, settings

# Neither a deadline nor a health check by the clock: no outcome may hang on how fast or busy a machine is.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
