"""The one place that states the version; host and harness must agree on it exactly."""

__version__ = "0.1.0"
