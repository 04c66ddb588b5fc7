"""A webhook receiver in a process of its own: answers 204, and says at `/` how many came and when. Ends when its standard input does."""

import asyncio
import sys
from time import time

import orjson
import uvloop
from aiohttp import web


async def main() -> None:
    seen = {"count": 0, "first": 0.0, "last": 0.0}

    async def handle(request: web.BaseRequest) -> web.Response:
        if request.method == "GET":
            return web.Response(body=orjson.dumps(seen), content_type="application/json")
        await request.read()
        seen["last"] = time()
        seen["first"] = seen["first"] or seen["last"]
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
