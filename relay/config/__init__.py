"""The whole config: one tree of every module's section, read from `relay.yml` or from the environment alone.

Everything wrong is told at once, each with its place; nothing is opened or contacted here but the files of secrets.
"""

from relay.config.loading import Loaded, find, load, read
from relay.config.problems import ConfigError, Problem, key_text
from relay.config.schema import json_schema
from relay.config.tree import Config, HeartbeatConfig, LogConfig, SeverityConfig

__all__ = [
    "Config",
    "ConfigError",
    "HeartbeatConfig",
    "Loaded",
    "LogConfig",
    "Problem",
    "SeverityConfig",
    "find",
    "json_schema",
    "key_text",
    "load",
    "read",
]
