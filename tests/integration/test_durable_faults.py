"""The second engine's process dies, hangs, lies and talks nonsense; nobody mistakes that for an answer."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from array import array
from pathlib import Path

import pytest

from services.decision.core.protocol import TISSUES, Condition, Dose, Population, Progress, Protocol, Rule, Slot, Step, Then
from services.decision.core.question import Answer, Question
from services.decision.engines import EngineFault, PackRefused, SecondEngine, SecondEngineMissing, durable_child, reference
from services.decision.engines.durable_pack import compile_pack

pytestmark = pytest.mark.law("two-engines")

ROOT = Path(__file__).resolve().parents[2]
POISON = 77
HUNG = {"timeout_s": 1.0}


def pack(threshold=5):
    return Protocol(
        id="faults",
        version="1",
        hash=f"pack-{threshold}",
        title="",
        ladder=(Step("L1", Dose(), ()),),
        slots=(Slot("pain"), Slot("swelling")),
        rules=(
            Rule("calm", "advance", "", (Condition(0, "at_most", threshold, threshold),), Then(), (), "primary"),
            Rule("swollen", "hold", "", (Condition(1, "at_least", 1, 1),), Then(), (), "primary"),
        ),
        clean=(),
        population=Population(TISSUES),
        progress=Progress(1, 1, 1, True, True),
        rates=(),
        rest_days={},
        deload=None,
        stop_if=(),
        sources={},
        grades={},
        facts={},
        place={"entry": -1, "L1": 0, "complete": 1},
    )


PACK = pack()


def ask(*pains):
    return [Question(PACK.hash, (pain, 0), 0, 0, reference.judge(PACK, (pain, 0), 0, 0)) for pain in pains]


@pytest.fixture
def engine():
    engines = []

    def make(**more):
        # Nothing here but a hung process takes its time; one that stands still for a moment is not to look like it.
        engines.append(SecondEngine({PACK.hash: PACK}, **{"timeout_s": 60, **more}))
        return engines[-1]

    yield make
    for one in engines:
        one.close_now()


def gone(pid):
    """True once the process is no more, or waits only to be buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def becomes_true(claim, within_s=90):
    deadline = time.monotonic() + within_s
    while not claim():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return True


@pytest.mark.parametrize("fault", ["crash:3", "hang:3", "garbage:3", "raise:3"])
def test_a_process_that_fails_in_the_middle_of_a_batch_costs_no_answer(engine, monkeypatch, fault):
    monkeypatch.setenv("MILEPOST_TEST_ENGINE", fault)
    asked = ask(1, 9, None, 4, 8)
    second = engine(**HUNG if fault.startswith("hang") else {})
    assert second.judge_now(asked) == [question.answer for question in asked]
    assert second.starts > 1


@pytest.mark.parametrize(
    ("fault", "detail"),
    [
        ("crash", "ended by signal 11 (SIGSEGV)"),
        ("hang", "did not answer within its time limit"),
        ("garbage", "sent bytes that are no answer"),
        ("raise", "RuntimeError: asked to raise by MILEPOST_TEST_ENGINE"),
    ],
)
def test_a_question_no_process_survives_is_a_fault_after_three_tries_and_its_neighbours_are_answered(engine, monkeypatch, fault, detail):
    monkeypatch.setenv("MILEPOST_TEST_ENGINE", f"{fault}@{POISON}")
    asked = ask(1, 9, POISON, 4, POISON, None)
    answers = engine(**HUNG if fault == "hang" else {}).judge_now(asked)
    assert answers[2] == answers[4] == EngineFault(3, detail)
    for index in (0, 1, 3, 5):
        assert answers[index] == asked[index].answer


def test_an_engine_that_always_fails_faults_every_question_in_a_bounded_number_of_processes(engine, monkeypatch):
    monkeypatch.setenv("MILEPOST_TEST_ENGINE", "crash")
    second = engine()
    assert second.judge_now(ask(*range(40))) == [EngineFault(3, "ended by signal 11 (SIGSEGV)")] * 40
    assert second.starts <= 10


def test_a_lie_is_an_answer_that_does_not_agree(engine, monkeypatch):
    monkeypatch.setenv("MILEPOST_TEST_ENGINE", "lie:2")
    asked = ask(1, 2, 3)
    answers = engine().judge_now(asked)
    assert all(isinstance(answer, Answer) for answer in answers)
    assert [question.agrees(answer) for question, answer in zip(asked, answers, strict=True)] == [True, False, True]


def test_a_hung_process_is_ended(engine, monkeypatch):
    second = engine(timeout_s=0.3)
    monkeypatch.setenv("MILEPOST_TEST_ENGINE", "hang")
    second.start_now()
    hung = second.pid
    second.judge_now(ask(1))
    assert gone(hung)


def test_a_process_killed_between_two_batches_is_replaced_unnoticed(engine):
    second = engine()
    asked = ask(1, 9, None)
    assert second.judge_now(asked) == [question.answer for question in asked]
    os.kill(second.pid, signal.SIGKILL)
    assert second.judge_now(asked) == [question.answer for question in asked]
    assert second.starts == 2


def test_the_process_is_replaced_after_so_many_evaluations(engine):
    second = engine(recycle_after=4)
    asked = ask(1, 9)
    for _ in range(5):
        assert second.judge_now(asked) == [question.answer for question in asked]
    assert second.starts == 3


def test_a_missing_library_is_told_in_one_line_with_the_way_out(engine, monkeypatch, tmp_path):
    (tmp_path / "durable_rules_engine.py").write_text("raise ImportError('undefined symbol: PyEval_CallObject')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(SecondEngineMissing) as told:
        engine().start_now()
    assert "\n" not in str(told.value)
    assert "undefined symbol: PyEval_CallObject" in str(told.value)
    assert "CPPFLAGS=-DPyEval_CallObject=PyObject_CallObject" in str(told.value)


def test_a_question_about_another_pack_or_of_another_length_is_a_fault_untried(engine):
    (known,) = ask(1)
    stranger = Question("elsewhere", (1, 0), 0, 0, known.answer)
    short = Question(PACK.hash, (1,), 0, 0, known.answer)
    answers = engine().judge_now([stranger, known, short])
    assert answers == [
        EngineFault(0, "pack elsewhere is not loaded in the second engine"),
        known.answer,
        EngineFault(0, "pack pack-5 has 2 slots, the question has 1 values"),
    ]


def test_a_threshold_that_is_no_small_integer_is_refused_when_loading():
    huge = pack(threshold=2_000_000_000)
    with pytest.raises(PackRefused, match="pack faults@1, rule calm: compares slot 0 with 2000000000"):
        SecondEngine({huge.hash: huge})


def test_the_process_sees_no_secret(engine, monkeypatch):
    monkeypatch.setenv("MILEPOST_SECRET_KEY", "00ff00ff")
    second = engine()
    second.start_now()
    assert b"00ff00ff" not in Path(f"/proc/{second.pid}/environ").read_bytes()


async def test_batches_asked_at_once_are_answered_each_with_its_own(engine):
    batches = [ask(*range(n, n + 20)) for n in range(6)]
    async with engine() as second:
        answers = await asyncio.gather(*(second.judge(batch) for batch in batches))
    assert answers == [[question.answer for question in batch] for batch in batches]
    assert second.pid is None


def test_the_process_does_not_outlive_its_parent():
    script = (
        "import sys, runpy; sys.path.insert(0, sys.argv[1])\n"
        "given = runpy.run_path(sys.argv[2])\n"
        "engine = given['SecondEngine']({given['PACK'].hash: given['PACK']})\n"
        "engine.start_now(); print(engine.pid, flush=True); sys.stdin.read()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(ROOT), __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert not gone(child)
    finally:
        parent.kill()
        parent.communicate()
    assert becomes_true(lambda: gone(child))


def test_a_process_that_hangs_unwatched_ends_itself():
    """Its parent may be gone, and a library that hangs never reads the end of its input."""
    packs = json.dumps([compile_pack(PACK)]).encode()
    batch = array("q", (300, 0, 1, 0, 0, 0, 1, 0)).tobytes()
    child = subprocess.Popen(
        [sys.executable, "-P", durable_child.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "MILEPOST_TEST_ENGINE": "hang"},
    )
    try:
        assert child.stdin is not None
        for message in (packs, batch):
            child.stdin.write(len(message).to_bytes(8, "little") + message)
        child.stdin.flush()
        assert child.wait(timeout=90) == -signal.SIGALRM
    finally:
        child.kill()
        child.communicate()
