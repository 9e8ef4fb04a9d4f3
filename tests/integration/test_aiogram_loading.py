"""aiogram as the relay loads it is aiogram as it loads itself, only smaller. Each in a process of its own."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from typing import Any

import pytest

from relay.channels.telegram.loading import USED
from tests.programs import ROOT

OURS = "from relay.channels.telegram.loading import load_channel; load_channel()"
CHANNEL_FIRST = "import relay.channels.telegram.channel"
TYPES_FIRST = "import aiogram.types, aiogram.methods"
NOTHING_OF_IT = "import aiohttp, pydantic"
UPDATE = {
    "update_id": 1,
    "callback_query": {
        "id": "7", "chat_instance": "x", "data": "a:abc", "from": {"id": 5, "is_bot": False, "first_name": "Ann"},
        "message": {
            "message_id": 3, "date": 1_700_000_000, "chat": {"id": -1001, "type": "supergroup"}, "text": "fire",
            "reply_markup": {"inline_keyboard": [[{"text": "Ack", "callback_data": "a:abc"}]]},
        },
    },
}  # fmt: skip
pytestmark = pytest.mark.timeout(300)  # a loaded machine takes a minute for the two interpreters of one test
DESCRIBE = f"""
from relay.channels.telegram.loading import list_models
from aiogram.types import Update
models = {{}}
for model in list_models():
    model.model_rebuild()
    assert model.__pydantic_complete__, model
    models[model.__name__] = {{
        name: re.sub(" at 0x[0-9a-f]+", "", repr(field)) for name, field in model.model_fields.items()
    }}
found["models"], found["update"] = models, repr(Update.model_validate({UPDATE!r}))
"""
WEIGH = """
import json, re
found = {"weight": int(re.search(r"VmRSS:\\s+(\\d+) kB", open("/proc/self/status").read())[1])}
"""
BUILT = f"""
import gc, aiogram.types, aiogram.methods, aiogram.methods.base
pairs = [path.split(".") for path in {USED!r}]
used = [getattr(getattr(aiogram, package), name) for package, name in pairs]
answers = [one.__returning__ for one in used if one.__module__.startswith("aiogram.methods.")]
gc.collect()
held = [one.__pydantic_generic_metadata__["args"][0] for one in aiogram.methods.base.Response.__subclasses__()]
found["unbuilt"] = [str(model) for model in used if not model.__pydantic_complete__]
found["unbuilt"] += [str(answer) for answer in answers if answer not in held]
found["unused"] = [name for name in ("Poll", "StarTransactions") if getattr(aiogram.types, name).__pydantic_complete__]
"""


@functools.cache
def look(*parts: str) -> Any:
    """What a new interpreter that runs these finds in itself; each is started once for all tests."""
    words = [sys.executable, "-c", "\n".join([*parts, "print(json.dumps(found))"])]
    done = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, check=True, timeout=200)
    return json.loads(done.stdout)


def our_own() -> Any:
    return look(OURS, WEIGH, BUILT, DESCRIBE)


def channel_first() -> Any:
    return look(CHANNEL_FIRST, WEIGH, OURS, BUILT)


def types_first() -> Any:
    return look(TYPES_FIRST, WEIGH, OURS, BUILT, DESCRIBE)


def test_every_model_of_the_bot_api_is_the_same_as_aiogram_builds_it() -> None:
    ours, theirs = our_own(), types_first()
    assert len(theirs["models"]) > 400
    assert ours["models"] == theirs["models"]
    assert ours["update"] == theirs["update"]


def test_it_takes_less_than_two_thirds_of_the_memory() -> None:
    before, ours, theirs = [found["weight"] for found in (look(NOTHING_OF_IT, WEIGH), our_own(), types_first())]
    assert ours - before < (theirs - before) * 2 / 3


def test_what_the_relay_uses_is_built_before_a_message_waits_for_it_and_the_rest_is_not() -> None:
    assert our_own()["unbuilt"] == []
    assert our_own()["unused"] == []


@pytest.mark.parametrize("there_first", [channel_first, types_first])
def test_whoever_was_there_first_with_aiogram_is_no_hindrance(there_first: Any) -> None:
    assert there_first()["unbuilt"] == []
    assert there_first()["unused"] == ["Poll", "StarTransactions"]
