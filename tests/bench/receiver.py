"""A webhook receiver in a process of its own: answers 204, and says at `/` how many came and when, at `/arrivals` when each first came.
Paths under `/dead` never answer. Ends when its standard input does."""

import asyncio
import sys
from time import time

import orjson
import uvloop
from aiohttp import web


async def main() -> None:
    seen = {"count": 0, "first": 0.0, "last": 0.0}
    arrivals: dict[str, float] = {}

    async def handle(request: web.BaseRequest) -> web.Response:
        if request.method == "GET":
            return web.Response(body=orjson.dumps(arrivals if request.path == "/arrivals" else seen), content_type="application/json")
        now = time()
        if request.path.startswith("/dead"):
            await asyncio.Event().wait()
        body = await request.read()
        arrivals.setdefault(f"{request.path} {orjson.loads(body)['data'].get('id')}", now)
        seen["last"] = now
        seen["first"] = seen["first"] or now
        seen["count"] += 1
        return web.Response(status=204)

    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    uvloop.run(main())
