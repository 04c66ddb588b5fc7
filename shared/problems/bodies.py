"""Bodies that FastAPI has read: each key once."""

from fastapi import Request

from shared.documents import NotJson, load
from shared.problems.handlers import not_json


async def each_key_once(request: Request) -> None:
    """A dependency of an app whose routes take JSON. Raises `Problem` 400 where a key stands twice in one object."""
    if request.method in ("GET", "HEAD", "OPTIONS") or "json" not in request.headers.get("content-type", "json"):
        return
    body = await request.body()
    if not body:
        return
    try:
        load(body)
    except NotJson as fault:
        if "twice" in str(fault):
            raise not_json(f"{fault}, and which of them counts is not said") from None
