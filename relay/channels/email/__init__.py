"""Email: append-only threads, one per incident, sent through the SMTP server of the config."""

from relay.channels.email.channel import EmailChannel, EmailContent
from relay.channels.email.server import MailServer
from relay.channels.email_options import EmailOptions, SmtpConfig

__all__ = ["EmailChannel", "EmailContent", "EmailOptions", "MailServer", "SmtpConfig"]
