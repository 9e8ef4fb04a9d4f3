"""aiogram as the relay loads it is aiogram as it loads itself, only smaller. Each in a process of its own."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import pytest

from relay.channels.telegram.loading import USED
from tests.programs import ROOT

EAGER = "import aiogram.types, aiogram.methods"
OURS = "from relay.channels.telegram.loading import load_channel; load_channel()"
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
DESCRIBE = f"""
import json, re
from relay.channels.telegram.loading import list_models
from aiogram.types import Update
found = {{}}
for model in list_models():
    model.model_rebuild()
    assert model.__pydantic_complete__, model
    found[model.__name__] = {{
        name: re.sub(" at 0x[0-9a-f]+", "", repr(field)) for name, field in model.model_fields.items()
    }}
update = Update.model_validate({UPDATE!r})
print(json.dumps([found, repr(update)]))
"""
WEIGH = """
import re
print(re.search(r"VmRSS:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
"""
BUILT = f"""
import aiogram.types, aiogram.methods
pairs = [path.split(".") for path in {USED!r}]
models = [getattr(getattr(aiogram, package), name) for package, name in pairs]
print([model for model in models if not model.__pydantic_complete__], aiogram.types.Poll.__pydantic_complete__)
"""


async def run(*parts: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "\n".join(parts), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode()


async def test_every_model_of_the_bot_api_is_the_same_as_aiogram_builds_it() -> None:
    ours: Any = json.loads(await run(OURS, DESCRIBE))
    theirs: Any = json.loads(await run(EAGER, DESCRIBE))
    assert len(theirs[0]) > 400
    assert ours == theirs


async def test_it_takes_less_than_two_thirds_of_the_memory() -> None:
    before, ours, theirs = [int(await run(how, WEIGH)) for how in ("import aiohttp, pydantic", OURS, EAGER)]
    assert ours - before < (theirs - before) * 2 / 3


async def test_what_the_relay_uses_is_built_before_a_message_waits_for_it_and_the_rest_is_not() -> None:
    assert (await run(OURS, BUILT)).strip() == "[] False"


@pytest.mark.parametrize("how", ["import relay.channels.telegram.channel", "import aiogram.types"])
async def test_whoever_was_there_first_with_aiogram_is_no_hindrance(how: str) -> None:
    assert (await run(how, OURS, BUILT)).strip() == "[] True"
