"""Telegram: one living message per incident, replies that ring, the full list as a document.

Importing this costs nothing; `relay.channels.telegram.loading` brings the channel, and aiogram with it.
"""
