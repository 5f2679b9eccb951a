"""How hypothesis looks for examples: the same ones each time, so that a red test is red for everyone."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

_QUIET = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]

settings.register_profile("ci", derandomize=True, deadline=None, max_examples=50, suppress_health_check=_QUIET)
settings.register_profile("search", deadline=None, max_examples=2_000, suppress_health_check=_QUIET)
settings.load_profile("ci")
