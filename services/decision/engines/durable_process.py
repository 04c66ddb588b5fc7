"""One child process that runs durable-rules: start it, ask it, end it. Every wait has a deadline.

The child gets plain numbers and gives plain numbers; nothing it sends is trusted before its form is checked.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.decision.core.protocol import Protocol
from services.decision.core.question import Action, Answer, Question
from services.decision.core.trivalent import Tri
from services.decision.engines.durable_child import ANSWER, FAULT, HEADER, MISSING, READY, UNKNOWN
from services.decision.engines.durable_pack import BOUND, compile_pack

_ACTIONS: tuple[Action, ...] = ("refer", "regress", "hold", "advance")
_TRIS = (Tri.NOT_MET, Tri.UNKNOWN, Tri.MET)
_CHILD = Path(__file__).with_name("durable_child.py")
# What the child may see of the environment: enough to find its libraries, no settings and no secrets.
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "MILEPOST_TEST_ENGINE")
_START_S = 30.0
"""Limit of start and loading; a loaded machine may take seconds, and nothing waits on it but the first batch."""
_EACH_S = 0.005
"""Added to the limit of a batch for each question: twenty times what a large pack takes."""


class SecondEngineMissing(RuntimeError):
    """durable-rules cannot be imported."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The second rule engine cannot be loaded: durable-rules 2.0.28 is missing or broken ({reason}). Run `make setup`; "
            "on Python 3.13 it builds only with CPPFLAGS=-DPyEval_CallObject=PyObject_CallObject in the environment."
        )


class Failed(Exception):
    """The child died, was too slow, or sent what is no answer. The message says which."""


@dataclass(frozen=True, slots=True)
class Packs:
    """Every pack of one set, compiled; `told` is what a child is told, the same for each."""

    number: Mapping[str, int]
    slots: tuple[int, ...]
    rules: tuple[int, ...]
    told: bytes

    @classmethod
    def of(cls, packs: Mapping[str, Protocol]) -> "Packs":
        """Raises `PackRefused` for a pack that the second engine cannot hold."""
        told: list[dict[str, Any]] = [compile_pack(protocol) for protocol in packs.values()]
        return cls(
            {name: number for number, name in enumerate(packs)},
            tuple(len(protocol.slots) for protocol in packs.values()),
            tuple(len(protocol.rules) for protocol in packs.values()),
            json.dumps(told).encode(),
        )


def _numbers(packs: Packs, questions: Sequence[Question], limit_s: float, one_by_one: bool) -> bytes:
    sent = array("q", (int(limit_s * 1000), one_by_one, len(questions)))
    for question in questions:
        sent.extend((packs.number[question.pack], question.rung, question.tissue))
        # Beyond the bound every comparison with a threshold has the same outcome as just inside it.
        sent.extend([UNKNOWN if v is None else v if -BOUND < v < BOUND else BOUND if v > 0 else -BOUND for v in question.values])
    return sent.tobytes()


class EngineProcess:
    """A child with the packs loaded. Used by one thread at a time."""

    def __init__(self, packs: Packs) -> None:
        """Starts the child and loads the packs. Raises `SecondEngineMissing` or `Failed`."""
        self._packs = packs
        self.evaluations = 0
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        try:
            # By path and with -P: the child loads no package of the product, and no folder but the libraries' is searched for modules.
            # On standard error only the library speaks, of freed pointers.
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(_CHILD)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                bufsize=0,
            )
        except OSError as error:
            raise Failed(f"could not be started: {error}") from None
        assert self._process.stdin is not None and self._process.stdout is not None
        self._to, self._from = self._process.stdin, self._process.stdout
        os.set_blocking(self._to.fileno(), False)
        self._read = bytearray()
        deadline = time.monotonic() + _START_S
        try:
            # A child that lacks the library says so and leaves before it reads; then the writing fails and the reading tells why.
            broken: Failed | None = None
            try:
                self._send(packs.told, deadline)
            except Failed as failure:
                broken = failure
            kind, body = self._record(deadline)
            if kind == MISSING:
                raise SecondEngineMissing(body.decode(errors="replace"))
            if kind != READY:
                raise Failed(f"could not load the packs: {body.decode(errors='replace')}")
            if broken is not None:
                raise broken
        except BaseException:
            self.end()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, questions: Sequence[Question], timeout_s: float, one_by_one: bool) -> tuple[list[Answer], Failed | None]:
        """The answers that came, in order, and what went wrong when they are fewer than the questions.

        The limit is `timeout_s` and a little for each question; `one_by_one`, it is `timeout_s` for each answer.
        """
        answers: list[Answer] = []
        limit_s = timeout_s if one_by_one else timeout_s + _EACH_S * len(questions)
        try:
            deadline = time.monotonic() + limit_s
            # The child's own limit is longer: it counts only when this process is no longer there to end it.
            self._send(_numbers(self._packs, questions, 2 * limit_s + 1, one_by_one), deadline)
            for question in questions:
                answers.append(self._answer(question, deadline))
                if one_by_one:
                    deadline = time.monotonic() + limit_s
        except Failed as failure:
            return answers, failure
        finally:
            self.evaluations += len(answers)
        return answers, None

    def end(self) -> None:
        """Ends the child at once and frees its pipes; nothing is lost, it holds no state."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        for pipe in (self._to, self._from):
            with contextlib.suppress(OSError):
                pipe.close()

    def _answer(self, question: Question, deadline: float) -> Answer:
        kind, body = self._record(deadline)
        if kind == FAULT:
            raise Failed(body.decode(errors="replace"))
        rules = self._packs.rules[self._packs.number[question.pack]]
        if kind != ANSWER or len(body) != rules + 1 or max(body) > 3 or max(body[1:], default=0) > 2:
            raise Failed("sent bytes that are no answer")
        return Answer(tuple([_TRIS[verdict] for verdict in body[1:]]), _ACTIONS[body[0]])

    def _record(self, deadline: float) -> tuple[int, bytes]:
        kind, length = HEADER.unpack(self._exactly(HEADER.size, deadline))
        if kind not in (ANSWER, FAULT, READY, MISSING):
            raise Failed("sent bytes that are no answer")
        return kind, self._exactly(length, deadline)

    def _exactly(self, length: int, deadline: float) -> bytes:
        while len(self._read) < length:
            self._wait(self._from.fileno(), select.POLLIN, deadline)
            received = os.read(self._from.fileno(), 1 << 16)
            if not received:
                raise Failed(self._obituary())
            self._read += received
        taken = bytes(self._read[:length])
        del self._read[:length]
        return taken

    def _send(self, body: bytes, deadline: float) -> None:
        rest = memoryview(len(body).to_bytes(8, "little") + body)
        while rest:
            self._wait(self._to.fileno(), select.POLLOUT, deadline)
            try:
                rest = rest[os.write(self._to.fileno(), rest) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise Failed(self._obituary()) from None

    def _wait(self, descriptor: int, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(descriptor, event)
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise Failed("did not answer within its time limit")

    def _obituary(self) -> str:
        try:
            code = self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return "closed its pipe without an answer"
        return f"ended by signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"ended with status {code}"
