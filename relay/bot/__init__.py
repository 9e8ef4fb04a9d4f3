"""The Telegram bot: commands, buttons, and what they answer. Only `messenger`, `router` and `runner` know aiogram.

Everything between is values: a `Request` goes in, an `Answer` comes out.
"""
