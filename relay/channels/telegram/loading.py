"""Imports aiogram for a third of the time and the memory: a model is built when it is first used, not all 500 at once.

aiogram asks pydantic to put off building its models, and then has every one of them built as it is imported, because their
annotations name types that their modules import for type checkers only. Here those modules are told the names instead.
Should another release of aiogram go about it in another way, it is imported as it wants to be: slower, and nothing else.
"""

from __future__ import annotations

import functools
import importlib
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from pydantic import BaseModel

USED = (
    "methods.AnswerCallbackQuery",
    "methods.DeleteMessages",
    "methods.DeleteWebhook",
    "methods.EditMessageText",
    "methods.GetChat",
    "methods.GetChatMember",
    "methods.GetMe",
    "methods.GetUpdates",
    "methods.SendDocument",
    "methods.SendMessage",
    "methods.SetMyCommands",
    "methods.SetWebhook",
    "types.BotCommandScopeChat",
    "types.BotCommandScopeDefault",
    "types.InlineKeyboardMarkup",
    "types.Update",
)
"""What every relay needs sooner or later: built here, in the thread that imports, so that no message waits for it."""
_NAME = re.compile(r"\w+")


def load_channel() -> ModuleType:
    """`relay.channels.telegram.channel`. Takes a second or two of CPU the first time: call it in a thread."""
    if "aiogram" not in sys.modules:
        with _models_left_unbuilt() as names:
            importlib.import_module("aiogram.types")
            importlib.import_module("aiogram.methods")
        for model in list_models():
            _tell_names(model, names)
    for path in USED:
        _build(path)
    return importlib.import_module("relay.channels.telegram.channel")


def list_models() -> list[type[BaseModel]]:
    """Every type and method of the Bot API that aiogram knows."""
    packages = [importlib.import_module(f"aiogram.{name}") for name in ("types", "methods")]
    exported = [getattr(package, name) for package in packages for name in package.__all__]
    return [one for one in exported if isinstance(one, type) and issubclass(one, BaseModel)]


@contextmanager
def _models_left_unbuilt() -> Iterator[Mapping[str, Any]]:
    """Yields the names that aiogram gives its models to be built with; other libraries' models are built as ever."""
    original = BaseModel.__dict__["model_rebuild"]
    names: dict[str, Any] = {}

    def model_rebuild(cls: type[BaseModel], /, **options: Any) -> Any:
        namespace = options.get("_types_namespace")
        if cls.__module__.startswith("aiogram.") and namespace is not None:
            names.update(namespace)
            return None
        return original.__func__(cls, **options)

    BaseModel.model_rebuild = classmethod(model_rebuild)  # type: ignore[method-assign,assignment]
    try:
        yield names
    finally:
        BaseModel.model_rebuild = original  # type: ignore[method-assign]


def _tell_names(model: type[BaseModel], names: Mapping[str, Any]) -> None:
    """Puts what the model's annotations name, inherited ones too, where pydantic looks for it: into the model's module."""
    known = vars(sys.modules[model.__module__])
    for base in model.__mro__:
        for annotation in vars(base).get("__annotations__", {}).values():
            for name in _NAME.findall(annotation) if isinstance(annotation, str) else ():
                if name in names:
                    known.setdefault(name, names[name])


@functools.cache
def _build(path: str) -> tuple[type[BaseModel], ...]:
    """The model and, of a method, that of its answer.

    Held for good: pydantic forgets a generic model that nobody holds, and would build it anew for the next answer, which
    takes up to a fifth of a second of CPU.
    """
    package, _, name = path.partition(".")
    model = getattr(importlib.import_module(f"aiogram.{package}"), name)
    model.model_rebuild()
    if package != "methods":
        return (model,)
    return model, importlib.import_module("aiogram.methods.base").Response[model.__returning__]
