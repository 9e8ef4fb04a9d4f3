"""The floor: an aiohttp handler that parses the same JSON and answers 200. Prints its port.

On asyncio's own event loop, as aiohttp runs what is given to it; on uvloop, as the relay runs, if that is its argument.
"""

from __future__ import annotations

import asyncio
import json
import sys

import uvloop
from aiohttp import web


async def handle(request: web.Request) -> web.Response:
    json.loads(await request.read())
    return web.json_response({"status": "accepted"})


async def serve() -> None:
    application = web.Application(client_max_size=64 * 1024 * 1024)
    application.add_routes([web.post("/webhook", handle)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
    sys.stdout.write(f"{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    (uvloop if sys.argv[1:] == ["uvloop"] else asyncio).run(serve())
