"""How a command asks the decision service: its address, a key, one request at a time, refusals as sentences."""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import quote

from services.cli.terminal import EXIT_FAULT, complain, stop
from services.embedded import running
from shared.settings import load

TIME_LIMIT_S = 120
KEY_VARIABLE = "MP_API_KEY"


@dataclass(frozen=True, slots=True)
class Decision:
    """The service at `url`, asked with one key."""

    url: str
    key: str

    def get(self, *parts: str, **query: str) -> Any:
        """The answer to GET /v1/<parts>. Leaves with a sentence when it is refused."""
        asked = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items() if value)
        return self._ask("GET", parts, None, asked)

    def post(self, *parts: str, **body: Any) -> Any:
        """The answer to POST /v1/<parts>; what is None is left out of the body."""
        return self._ask("POST", parts, {name: value for name, value in body.items() if value is not None}, "")

    def _ask(self, method: str, parts: tuple[str, ...], body: Any, query: str) -> Any:
        address = f"{self.url}/v1/{'/'.join(quote(part, safe='@') for part in parts)}" + (f"?{query}" if query else "")
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        request = urllib.request.Request(address, None if body is None else json.dumps(body).encode(), headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=TIME_LIMIT_S) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refusal:
            _refused(refusal)
        except (OSError, ValueError) as fault:
            stop(f"milepost protocol: {self.url} does not answer ({fault}); is `milepost up` running, or is --url another?", EXIT_FAULT)


def _refused(refusal: urllib.error.HTTPError) -> NoReturn:
    try:
        problem = json.load(refusal)
    except ValueError:
        problem = {"detail": f"the service answers {refusal.code}"}
    for fault in problem.get("faults", ()):
        complain(f"{fault['path']}: {fault['expected']}")
    stop(f"milepost protocol: {problem['detail']}", EXIT_FAULT)


def reach(url: str, key: str) -> Decision:
    """The service named, or that of the stack that runs on the settings' data directory."""
    if not key:
        stop(f"milepost protocol: no key; give --key, or set {KEY_VARIABLE}; `milepost keys create` makes one")
    if not url:
        settings = load()
        started = running(settings.data_dir.resolve())
        if started is None and not settings.names_servers:
            stop(f"milepost protocol: nothing runs on {settings.data_dir}; start `milepost up`, or give --url")
        found = load(**_ports(started)) if started else settings
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(found.host, found.host)
        url = f"http://{host}:{found.decision_port}"
    if not url.startswith(("http://", "https://")):
        stop(f"milepost protocol: --url {url}: expected http://HOST:PORT of the decision service")
    return Decision(url.rstrip("/"), key)


def _ports(environment: dict[str, str]) -> dict[str, Any]:
    return {"host": environment["MILEPOST_HOST"], "decision_port": int(environment["MILEPOST_DECISION_PORT"])}
