"""Telegram: one living message per incident, replies that ring, the full list as a document.

Importing this costs nothing; `relay.channels.telegram.channel` brings aiogram, whose import takes seconds.
"""
