"""Alertmanager Relay: alerts to the people on call, and their answers back."""

__version__ = "0.1.0"
