"""Slack: one living message per incident and its thread by the bot, or an incoming webhook that only appends."""

from relay.channels.slack.channel import SlackChannel
from relay.channels.slack.content import SlackContent

__all__ = ["SlackChannel", "SlackContent"]
