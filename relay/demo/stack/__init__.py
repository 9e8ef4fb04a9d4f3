"""The shipped stack without containers: players, Prometheus, Alertmanager and the relay on this machine."""
