"""An HTTP service as a process: it connects, serves until it is told to stop, and ends in order, or at once while it still starts."""

import asyncio
import signal
from typing import Any

import uvicorn
from fastapi import FastAPI


async def serve(app: FastAPI, host: str, port: int, **options: Any) -> bool:
    """False when the port could not be had. Raises what the application refuses to start for, and `CancelledError` where SIGTERM or
    SIGINT comes before it started. `options` are uvicorn's."""
    server = uvicorn.Server(uvicorn.Config(app, host=host, port=port, log_config=None, lifespan="off", **options))
    loop, starting = asyncio.get_running_loop(), asyncio.current_task()

    def told(*_: Any) -> None:
        server.should_exit = True
        if starting is not None:
            loop.call_soon_threadsafe(starting.cancel)

    # uvicorn raises the signal again after serving; what is still to be done then would be lost to the default handler.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, told)
    # Not through uvicorn's lifespan: it would show a traceback where one sentence says why a server is refused, and hear no signal.
    async with app.router.lifespan_context(app):
        starting = None
        await server.serve()
        return server.started
