"""The process in which durable-rules runs; started by `durable_process`, ended by its standard input closing.

Runs as a file, outside the package, and imports the standard library and the library's C module only: the library's Python layer, which
starts a dispatcher and timers and swallows exceptions, is not used. One fact per evaluation under a constant id and sid; the state is
deleted from outside once every rule has fired. Whatever goes wrong ends this process after saying so; nothing is retried in it.

`MILEPOST_TEST_ENGINE` is for tests only and is read here only: `crash`, `hang`, `lie`, `garbage` or `raise`, followed by `:n` (at the
n-th evaluation of each process, counted from 1) or `@v` (at each evaluation that reads the value v); alone it means every evaluation.
"""

import importlib
import json
import os
import signal
import struct
import sys
import time
from array import array
from collections.abc import Callable
from typing import Any, BinaryIO

UNKNOWN = -(1 << 62)
"""Stands for an unknown value on the wire."""
BOUND = 1_000_000_000
ANSWER, FAULT, READY, MISSING = 0xA5, 0xE1, 0x52, 0x4D
HEADER = struct.Struct("<BH")
"""Kind of record and length of what follows."""

NOT_MET, POSSIBLE, MET = 0, 1, 2
# The lattice of advice, most conservative first; the minimum of all votes is the advice.
REFER, REGRESS, HOLD, ADVANCE = 0, 1, 2, 3
LEVEL = {"refer": REFER, "regress": REGRESS, "hold": HOLD, "advance": ADVANCE}
SID = "1"


def _mask(bits: list[int]) -> int:
    return sum(1 << bit for bit in bits)


class Ruleset:
    """One durable-rules ruleset and the text of the fact it reads."""

    def __init__(self, engine: Any, name: str, definition: dict[str, Any], marks: dict[str, int]) -> None:
        self._engine = engine
        self._handle = engine.create_ruleset(name, json.dumps(definition["rules"]))
        self._marks = {rule: 1 << marks[rule] for rule in definition["rules"] if rule in marks}
        self._marks["every"] = 0
        fields = [f'"{name}":%d' for name in definition["properties"]]
        self._text = "{" + ",".join([f'"id":1,"sid":{SID},"one":1', *fields]) + "}"
        self._ends = [_end(name) for name in definition["properties"]]

    def fired(self, low: list[int], high: list[int], place: tuple[int, int]) -> int:
        """The bits of the rules that fire, each once or more. Raises `RuntimeError` where the library did not see the fact."""
        engine, handle, marks = self._engine, self._handle, self._marks
        ends = (low, high, place)
        fact = self._text % tuple([ends[which][index] for which, index in self._ends])
        result, state = engine.assert_fact(handle, fact)
        if result != 0:
            raise RuntimeError(f"durable-rules answered {result} to a fact that one rule always takes")
        started = engine.start_action_for_state(handle, state)
        message = started[1] if started else None
        if started and '"exception"' in started[0]:
            raise RuntimeError("durable-rules reports an exception in its state")
        bits, seen = 0, False
        while message is not None:
            name = message.split('"', 2)[1]
            if name == "every":
                seen = True
            bits |= marks[name]
            message = engine.complete_and_start_action(handle, state)
        engine.delete_state(handle, SID)
        if not seen:
            raise RuntimeError("durable-rules took a fact and did not fire the rule that always fires")
        return bits


def _end(name: str) -> tuple[int, int]:
    """Where a property of the fact is read: (0 low, 1 high, 2 place) and the index there."""
    if name in ("r", "t"):
        return 2, "rt".index(name)
    return "lh".index(name[0]), int(name[1:])


class Pack:
    """One pack, loaded."""

    def __init__(self, engine: Any, number: int, told: dict[str, Any]) -> None:
        self.slots: int = told["slots"]
        self._rulesets = [Ruleset(engine, f"p{number}_{n}", ruleset, told["marks"]) for n, ruleset in enumerate(told["rulesets"])]
        self._rules = [
            (LEVEL[kind], holds, _mask(met), _mask(possible), _mask(scope)) for kind, holds, met, possible, scope in told["rules"]
        ]

    def judge(self, values: list[int], rung: int, tissue: int) -> tuple[int, bytearray]:
        """The advice as a level, and one verdict per rule."""
        edge = BOUND - 1
        low = [-BOUND if v == UNKNOWN else v if -edge < v < edge else edge if v > 0 else -edge for v in values]
        high = [BOUND if v == UNKNOWN else end for v, end in zip(values, low, strict=True)]
        bits = 0
        for ruleset in self._rulesets:
            bits |= ruleset.fired(low, high, (rung, tissue))
        verdicts = bytearray(len(self._rules))
        advice, gates = ADVANCE, 0
        for index, (level, holds, met, possible, scope) in enumerate(self._rules):
            if bits & met == met:
                verdicts[index] = MET
                vote = level
            elif bits & possible == possible:
                verdicts[index] = POSSIBLE
                vote = HOLD if holds else ADVANCE
            else:
                vote = ADVANCE
            if level == ADVANCE:
                if bits & scope != scope:
                    continue
                gates += 1
                if verdicts[index] != MET:
                    vote = HOLD
            advice = min(advice, vote)
        return (advice if gates else min(advice, HOLD)), verdicts


class Misbehaviour:
    """What `MILEPOST_TEST_ENGINE` asks for."""

    def __init__(self, asked: str) -> None:
        self._at: int | None = None
        self._value: int | None = None
        self.kind, _, count = asked.partition(":")
        if count:
            self._at = int(count)
        elif "@" in asked:
            self.kind, _, value = asked.partition("@")
            self._value = int(value)
        self._evaluations = 0

    def now(self, values: list[int]) -> str:
        """The misbehaviour due at this evaluation, or nothing."""
        self._evaluations += 1
        due = self._at in (None, self._evaluations) and (self._value is None or self._value in values)
        return self.kind if due else ""


def _fault(error: Exception) -> bytes:
    return _record(FAULT, f"{type(error).__name__}: {error}".encode()[:500])


def _record(kind: int, body: bytes) -> bytes:
    return HEADER.pack(kind, len(body)) + body


def _serve(packs: list[Pack], incoming: BinaryIO, send: Callable[[bytes], None], misbehaviour: Misbehaviour | None) -> None:
    """One batch: limit in milliseconds, whether to answer one by one, how many, then pack, rung, tissue and values of each."""
    size = incoming.read(8)
    if len(size) < 8:
        raise EOFError
    numbers = array("q")
    numbers.frombytes(incoming.read(int.from_bytes(size, "little")))
    limit_s, one_by_one, count = numbers[0] / 1000, numbers[1], numbers[2]
    # The kernel ends this process even inside the library, should the parent be gone and unable to.
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    buffered = bytearray()
    at = 3
    for _ in range(count):
        pack = packs[numbers[at]]
        values = numbers[at + 3 : at + 3 + pack.slots].tolist()
        due = misbehaviour.now(values) if misbehaviour else ""
        try:
            if due:
                _misbehave(due)
            advice, verdicts = pack.judge(values, numbers[at + 1], numbers[at + 2])
        except Exception as error:
            send(bytes(buffered) + _fault(error))
            raise SystemExit(1) from None
        if due == "lie":
            advice, verdicts = (advice + 1) % 4, bytearray(2 - verdict for verdict in verdicts)
        buffered += b"?" * 40 if due == "garbage" else _record(ANSWER, bytes((advice,)) + verdicts)
        at += 3 + pack.slots
        if one_by_one:
            signal.setitimer(signal.ITIMER_REAL, limit_s)
            send(bytes(buffered))
            buffered.clear()
    signal.setitimer(signal.ITIMER_REAL, 0)
    send(bytes(buffered))


def _misbehave(kind: str) -> None:
    if kind == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif kind == "hang":
        while True:
            time.sleep(60)
    elif kind == "raise":
        raise RuntimeError("asked to raise by MILEPOST_TEST_ENGINE")


def main() -> int:
    """Loads the packs named on standard input, then answers batches until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    incoming = sys.stdin.buffer
    outgoing = sys.stdout.buffer

    def send(text: bytes) -> None:
        outgoing.write(text)
        outgoing.flush()

    try:
        # By name: the checker reads no types from it, and a missing module is an answer here, not a failure.
        engine = importlib.import_module("durable_rules_engine")
    except ImportError as error:
        send(_record(MISSING, str(error).encode()[:500]))
        return 3
    told = json.loads(incoming.read(int.from_bytes(incoming.read(8), "little")))
    try:
        packs = [Pack(engine, number, pack) for number, pack in enumerate(told)]
    except Exception as error:
        send(_fault(error))
        return 1
    asked = os.environ.get("MILEPOST_TEST_ENGINE", "")
    misbehaviour = Misbehaviour(asked) if asked else None
    send(_record(READY, b""))
    try:
        while True:
            _serve(packs, incoming, send, misbehaviour)
    except EOFError:
        return 0


if __name__ == "__main__":
    sys.exit(main())
