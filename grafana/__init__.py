"""The dashboards: written here as code, kept beside it as the JSON that Grafana reads."""
