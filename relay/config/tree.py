"""The root of the tree, and the few sections that belong to no other module."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import (
    AfterValidator,
    Field,
    ModelWrapValidatorHandler,
    SecretStr,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from relay.access import BotConfig, ChatRole, User
from relay.channels import AnyChannelOptions
from relay.channels.email_options import SmtpConfig
from relay.channels.slack_options import SlackConfig
from relay.channels.telegram_options import TelegramConfig
from relay.clock import MINUTE
from relay.clusters import AlertmanagerConfig
from relay.config.references import broken_references
from relay.listening import ServerConfig
from relay.routing import RouteConfig
from relay.sections import Duration, Name, SecretUrl, Section, base_folder, problem, refuse
from relay.severity import DEFAULT_LEVELS, Severity, SeverityMap
from relay.storage import DatabaseConfig

_Level = Literal["critical", "error", "warning", "info"]


class SeverityConfig(Section):
    """How label values map to the four levels; case does not matter."""

    label: Annotated[str, Field(min_length=1)] = "severity"
    """Which label holds the severity."""
    levels: dict[_Level, list[str]] = Field(default_factory=dict)
    """Further names of each level. A level that is absent keeps its default names, as far as no other level takes them."""

    @model_validator(mode="after")
    def _unambiguous(self) -> Self:
        levels = {severity.label for severity in Severity}
        taken: dict[str, str] = {}
        problems = []
        for level, names in self.levels.items():
            for index, name in enumerate(value.strip().lower() for value in names):
                path = ["levels", level, index]
                if name in levels - {level}:
                    problems.append(problem(path, f"{name} is itself a level and cannot mean {level}"))
                elif taken.setdefault(name, level) != level:
                    problems.append(problem(path, f"{name} already means {taken[name]}"))
        if problems:
            raise refuse(problems)
        return self

    def severity_map(self) -> SeverityMap:
        """The map for use: what is given here, completed by the defaults."""
        given: dict[str, tuple[str, ...]] = {
            level: tuple(name.strip().lower() for name in names) for level, names in self.levels.items()
        }
        taken = {name for names in given.values() for name in names}
        kept = {level: tuple(name for name in names if name not in taken) for level, names in DEFAULT_LEVELS.items()}
        return SeverityMap(self.label, {**kept, **given})


class HeartbeatConfig(Section):
    """An address that is asked regularly while everything really works, so that its owner notices when we do not."""

    secrets: ClassVar[frozenset[str]] = frozenset({"url"})

    url: SecretUrl
    """The address of a dead man's switch; kept secret."""
    every: Annotated[Duration, Field(gt=0)] = MINUTE


class LogConfig(Section):
    """What we say on stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["logfmt", "json"] = "logfmt"


def _folder(path: Path, info: ValidationInfo) -> Path:
    folder = base_folder(info) / path
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder")
    return folder


def secrets_of(value: object) -> Iterator[SecretStr]:
    """All secrets in a part of the config, in the order of its keys."""
    if isinstance(value, SecretStr):
        yield value
    elif isinstance(value, Section):
        for name in type(value).model_fields:
            yield from secrets_of(getattr(value, name))
    elif isinstance(value, Mapping | list | tuple):
        for one in value.values() if isinstance(value, Mapping) else value:
            yield from secrets_of(one)


class Config(Section):
    """The whole `relay.yml`. A `Config` that exists is consistent: every name it mentions is defined."""

    server: Annotated[ServerConfig, Field(default_factory=dict, validate_default=True)]
    """Where we listen and who may post."""
    database: DatabaseConfig = DatabaseConfig()
    """Where the state is kept."""
    alertmanagers: list[AlertmanagerConfig] = Field(default_factory=list)
    """The Alertmanagers that post here; without any, nothing is polled or silenced."""
    telegram: TelegramConfig | None = None
    """The Telegram bot."""
    slack: SlackConfig = SlackConfig()
    """The Slack workspace."""
    smtp: SmtpConfig | None = None
    """The mail server."""
    channels: dict[Name, AnyChannelOptions]
    """Named destinations."""
    routes: list[RouteConfig]
    """Tried in order for each alert; the first that matches wins unless it says `continue: true`."""
    severity: SeverityConfig = SeverityConfig()
    """How label values map to the four levels."""
    users: list[User] = Field(default_factory=list)
    """Who may talk to the bot; everyone else is refused."""
    chats: list[ChatRole] = Field(default_factory=list)
    """Roles for every member of a chat."""
    bot: BotConfig = BotConfig()
    """Bounds of the bot's commands."""
    heartbeat: HeartbeatConfig | None = None
    """Pinged only while everything really works."""
    templates: Annotated[Path, AfterValidator(_folder)] | None = None
    """A folder whose files replace single built-in templates."""
    log: LogConfig = LogConfig()
    """What we say on stderr."""

    def every_secret(self) -> Iterator[SecretStr]:
        """All that must never be shown, for the mask of the logs; of the database's address only what protects it."""
        for secret in secrets_of(self):
            if secret is not self.database.url:
                yield secret
        if (password := urlsplit(self.database.url.get_secret_value()).password) is not None:
            yield self.database.url
            yield SecretStr(unquote(password))

    @model_validator(mode="wrap")
    @classmethod
    def _consistent(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Names are looked up in the raw data, so that a typing error elsewhere does not hide an unknown channel."""
        problems = (
            [problem(path, reason) for path, reason in broken_references(data)] if isinstance(data, Mapping) else []
        )
        try:
            config = handler(data)
        except ValidationError as error:
            raise refuse(problems, error, {str(one["loc"][0]) for one in problems if len(one["loc"]) == 1}) from None
        if problems:
            raise refuse(problems)
        return config
