"""Players: stand-ins for the five monitored systems that export their metrics, healthy until an incident is asked for."""
