"""`milepost protocol draft` to `rollback`: the life of a tenant's own packs, over HTTP with a key of whoever does it."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress
from rich.table import Table

from services.cli.decision_client import KEY_VARIABLE, Decision, reach
from services.cli.terminal import EXIT_FAULT, complain, is_interactive, out, say, stop
from services.decision.rules.testing.cases import place_of

POLL_S = 0.5
SHOWN = 20

Pack = Annotated[str, typer.Argument(help="The pack's id.")]
Hash = Annotated[str, typer.Argument(help="The content that is meant, as `life` shows it; twelve digits suffice.")]
Url = Annotated[str, typer.Option(help="Address of the decision service; by default that of the running stack.")]
Key = Annotated[str, typer.Option(envvar=KEY_VARIABLE, help="The key of whoever does it.", show_default=False)]
Why = Annotated[str, typer.Option(help="Why, for whoever reads the history.")]
Over = Annotated[str, typer.Option(help="The protocol whose courses are decided again; by default the pack's own.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]


def draft(file: Annotated[Path, typer.Argument(help="A pack file.")], url: Url = "", key: Key = "", as_json: AsJson = False) -> None:
    """Makes a pack file the draft at hand of the pack it names, with the cases recorded beside it (`cases/FILE`), if there are any; takes
    back every approval of the draft before.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        stop(f"milepost protocol draft: {file}: cannot be read ({fault}); give the path of a pack file in UTF-8")
    cases = place_of(file)
    try:
        recorded = cases.read_text(encoding="utf-8") if cases.exists() else None
    except (OSError, UnicodeDecodeError) as fault:
        stop(f"milepost protocol draft: {cases}: cannot be read ({fault}); record the cases anew with `milepost protocol test --accept`")
    _show(reach(url, key).post("protocols", source=text, cases=recorded), as_json)


def life(pack: Pack, url: Url = "", key: Key = "", as_json: AsJson = False) -> None:
    """Shows where a pack stands: the draft at hand, its review, what is live, what was published."""
    _show(reach(url, key).get("protocols", pack, "life"), as_json)


def submit(pack: Pack, over: Over = "", url: Url = "", key: Key = "", as_json: AsJson = False) -> None:
    """Takes the draft at hand through its checks, tests and backtest into review; stops where one does not pass."""
    service = reach(url, key)
    found = service.get("protocols", pack, "life")
    hash = _at_hand(found)["hash"]
    for step, word in (("check", "checks"), ("test", "tests")):
        found = service.post("protocols", pack, step, hash=hash)
        if found.get("testing"):
            _follow_tests(service, pack, found["testing"])
            found = service.get("protocols", pack, "life")
        report = found["revision"][step]
        if not report["ok"]:
            for fault in report["faults"]:
                complain(f"{pack}:{fault['line']}:{fault['column']}: {fault['code']} {fault['path']}: {fault['sentence']}")
            stop(f"milepost protocol submit: the {word} do not pass: {len(report['faults'])} faults", EXIT_FAULT)
        say(f"{word} pass")
        for one in report.get("warnings", ()):
            if one["severity"] == "warning":
                say(f"  warning {one['code']} at line {one['line']}, {one['path']}: {one['sentence']}")
        if step == "test":
            _score(report)
    _compare(_follow(service, pack, service.post("protocols", pack, "backtests", hash=hash, over=over or None)))
    _show(service.post("protocols", pack, "submit", hash=hash), as_json)


def approve(
    pack: Pack,
    hash: Hash,
    acknowledge: Annotated[list[str] | None, typer.Option(help="A more permissive region that was read; once for each.")] = None,
    url: Url = "",
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """Approves what is in review, by somebody who wrote none of it."""
    _asked(url, key, pack, hash, "approve", as_json, acknowledged=acknowledge or [])


def decline(pack: Pack, hash: Hash, reason: Why, url: Url = "", key: Key = "", as_json: AsJson = False) -> None:
    """Declines what is in review."""
    _asked(url, key, pack, hash, "decline", as_json, reason=reason)


def publish(
    pack: Pack,
    hash: Hash,
    at: Annotated[str, typer.Option(help="A moment to come, as 2027-01-31T06:00:00Z; by default now.")] = "",
    url: Url = "",
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """Publishes what is approved, now or at a moment to come; everything is looked at again then."""
    _asked(url, key, pack, hash, "publish", as_json, at=at or None)


def rollback(
    pack: Pack,
    reason: Why,
    to: Annotated[str, typer.Option(help="The whole content hash to come back; by default what was live before.")] = "",
    url: Url = "",
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """Brings back what was live before, or older content that is nowhere more permissive, in one step."""
    _show(reach(url, key).post("protocols", pack, "rollback", reason=reason, to=to or None), as_json)


def retire(
    pack: Pack,
    hash: Annotated[str, typer.Argument(help="The whole content hash of a release.")],
    reason: Why,
    url: Url = "",
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """Lets no new course follow a release; courses that stand on it stay."""
    _show(reach(url, key).post("protocols", pack, "retire", hash=hash, reason=reason), as_json)


def backtest(
    pack: Pack,
    over: Over = "",
    differences: Annotated[int, typer.Option(min=0, max=200, help="How many differing decisions to show.")] = SHOWN,
    url: Url = "",
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """Runs the draft at hand over the stored history and shows which decisions would have been others. Ctrl-C cancels the run."""
    service = reach(url, key)
    hash = _at_hand(service.get("protocols", pack, "life"))["hash"]
    run = _follow(service, pack, service.post("protocols", pack, "backtests", hash=hash, over=over or None))
    if as_json:
        say(json.dumps(run))
        return
    _compare(run)
    _history(run)
    if differences and run["counts"]["kept"]:
        found = service.get("protocols", pack, "backtests", run["id"], "differences", limit=str(differences))
        _differences(found["items"])


def shadow(
    pack: Pack,
    hash: Annotated[str, typer.Argument(help="Begin with this content; without it, show what the shadow would have decided.")] = "",
    end: Annotated[bool, typer.Option("--end", help="End the shadow of this content.")] = False,
    url: Url = "",
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """Runs approved content beside what is live, or shows where it would have decided otherwise. Nobody is told."""
    if hash:
        service = reach(url, key)
        whole = _whole(service, pack, hash)
        _show(service.post("protocols", pack, "shadow", *(("end",) if end else ()), hash=whole), as_json)
        return
    report = reach(url, key).get("protocols", pack, "shadow", limit=str(SHOWN))
    if as_json:
        say(json.dumps(report))
        return
    _table(("direction", "decisions"), [(_words(name), str(count)) for name, count in sorted(report["counts"].items())])
    _differences(report["items"])
    say(report["note"])


COMMANDS: Sequence[Callable[..., None]] = (draft, life, submit, approve, decline, publish, rollback, retire, backtest, shadow)


def _asked(url: str, key: str, pack: str, hash: str, step: str, as_json: bool, **body: Any) -> None:
    service = reach(url, key)
    _show(service.post("protocols", pack, step, hash=_whole(service, pack, hash), **body), as_json)


def _whole(service: Decision, pack: str, hash: str) -> str:
    """The whole hash of the draft at hand, where the part given is its beginning: what was read is what is meant."""
    known = str(_at_hand(service.get("protocols", pack, "life"))["hash"])
    digits = hash.removeprefix("sha256:")
    if len(digits) < 12 or not known.removeprefix("sha256:").startswith(digits):
        stop(f"milepost protocol: {hash} is not the content at hand, which is {known}; read it, and name at least twelve digits of it")
    return known


def _at_hand(found: dict[str, Any]) -> dict[str, Any]:
    revision: dict[str, Any] | None = found["revision"]
    if revision is None or revision["state"] == "live":
        stop(f"milepost protocol: {found['id']} has no draft at hand; `milepost protocol draft FILE` makes one")
    return revision


def _score(report: dict[str, Any]) -> None:
    mutants, borders = report["mutants"], f"{report['borders']} borders"
    say(f"{report['stories']} stories and {report['cases']} cases end as they say")
    say(
        f"{mutants['noticed_pct']} % of {mutants['tried']} mutants are noticed with the {borders}, {mutants['stories_alone_pct']} % by the"
        f" stories alone (of {mutants['stories_alone_of']} tried); {len(mutants['survivors'])} survive"
    )
    for name in mutants["survivors"]:
        say(f"  survives: {name}")


def _follow_tests(service: Decision, pack: str, run: dict[str, Any]) -> None:
    """Until the tests of a draft have ended."""
    with Progress(console=out, disable=not is_interactive()) as shown:
        bar = shown.add_task("mutants", total=run["mutants"])
        try:
            while run["state"] == "running":
                time.sleep(POLL_S)
                run = service.get("protocols", pack, "tests", run["id"])
                shown.update(bar, total=run["mutants"], completed=run["done"])
        except KeyboardInterrupt:
            service.post("protocols", pack, "tests", run["id"], "cancel")
            stop("milepost protocol: the tests were cancelled", 130)
    if run["state"] != "done":
        stop(f"milepost protocol: the tests ended as {run['state']}: {run['because']}", EXIT_FAULT)


def _follow(service: Decision, pack: str, run: dict[str, Any]) -> dict[str, Any]:
    """The run once it has ended."""
    with Progress(console=out, disable=not is_interactive()) as shown:
        bar = shown.add_task("athletes", total=run["athletes"])
        try:
            while run["state"] == "running":
                time.sleep(POLL_S)
                run = service.get("protocols", pack, "backtests", run["id"])
                shown.update(bar, completed=run["done"])
        except KeyboardInterrupt:
            service.post("protocols", pack, "backtests", run["id"], "cancel")
            stop("milepost protocol: the run was cancelled", 130)
    if run["state"] != "done":
        stop(f"milepost protocol: the run ended as {run['state']}: {run['because']}", EXIT_FAULT)
    return run


def _compare(run: dict[str, Any]) -> None:
    counts = run["counts"]
    rows = [(_words(name), str(count), str(counts["athletes"].get(name, ""))) for name, count in counts["decisions"].items()]
    _table(("direction", "decisions", "athletes"), rows)
    say(run["note"])


def _history(run: dict[str, Any]) -> None:
    """Rules that no stored decision met, conditions that all met, steps that none left: of the draft, over the same facts."""
    said = [one for one in run.get("history", ()) if not one["at"].startswith("floor.")]
    for one in said[:SHOWN]:
        say(f"{one['code']}: {one['sentence']}")
    if len(said) > SHOWN:
        say(f"… and {len(said) - SHOWN} more (--json)")


def _differences(items: Sequence[dict[str, Any]]) -> None:
    rows = [(_words(one["direction"]), one["athlete"], one["course"], *_before(one), _after(one), one["because"]) for one in items]
    if rows:
        _table(("direction", "athlete", "course", "when", "decided", "would decide", "differs in"), rows)


def _before(one: dict[str, Any]) -> tuple[str, str]:
    return one["before"]["as_of"], one["before"]["summary"]


def _after(one: dict[str, Any]) -> str:
    return "" if one["after"] is None else str(one["after"]["summary"])


def _show(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        say(json.dumps(found))
        return
    revision = found["revision"]
    say(f"{found['id']}: {found['state'].replace('_', ' ')}")
    say(f"live: {found['live'] or 'nothing of this tenant; the shipped pack of this id, if there is one'}")
    if revision is not None and revision["state"] != "live":
        say(f"draft: {revision['version']} {revision['hash']}, {revision['state'].replace('_', ' ')}, by {', '.join(revision['authors'])}")
        for region in revision["regions"]:
            say(f"  {'more permissive' if region['more_permissive'] else 'more conservative'} [{region['id']}]: {region['words']}")
        if revision["backtest"] and "decisions" in revision["backtest"]:
            past = revision["backtest"]["decisions"]
            say("  over history: " + ", ".join(f"{count} {_words(name)}" for name, count in past.items()))
        given = ", ".join(one["by"] for one in revision["approvals"]) or "nobody yet"
        say(f"  approved by {given}; {revision['approvals_needed']} needed")
        if revision["declined"]:
            say(f"  declined by {revision['declined']['by']}: {revision['declined']['reason']}")
        if revision["publishes"]:
            say(f"  is published at {revision['publishes']}")
        if revision["not_published"]:
            say(f"  was not published: {revision['not_published']}")
    if found["releases"]:
        _table(
            ("version", "state", "published", "hash"), [(r["version"], r["state"], r["published"], r["hash"]) for r in found["releases"]]
        )
    if found["rollback"]:
        say(f"rolled back by {found['rollback']['by']}: {found['rollback']['reason']}; somebody else has to look at it")


def _words(direction: str) -> str:
    return direction.replace("_", " ")


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if is_interactive():
        table = Table(*columns)
        for row in rows:
            table.add_row(*(str(cell or "") for cell in row))
        out.print(table)
        return
    for row in (columns, *rows):
        say("\t".join(str(cell or "") for cell in row))
