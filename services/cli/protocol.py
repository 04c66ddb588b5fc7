"""`milepost protocol`: the rule packs there are, one of them in full, and whether a pack file can be used."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from services.cli import protocol_check, protocol_diff, protocol_life, protocol_test
from services.cli.consequences import consequence_words, days, pace_words, unknown_words
from services.cli.terminal import is_interactive, out, say, stop
from services.decision.core.conditions import flat
from services.decision.core.protocol import AnyOf, Condition, Dose, Protocol
from services.decision.engines.reference import ReferenceEngine
from services.decision.rules.faults import FaultyPack
from services.decision.rules.library import PackLibrary, load

app = typer.Typer(no_args_is_help=True, help="Shows, checks and tests rule packs, and takes a tenant's own from draft to live.")
app.command()(protocol_check.check)
app.command()(protocol_diff.diff)
app.command()(protocol_test.test)
for _command in protocol_life.COMMANDS:
    app.command()(_command)

WORDS = {
    "at_most": "is at most",
    "at_least": "is at least",
    "below": "is below",
    "above": "is above",
    "is": "is",
    "one_of": "is one of",
    "not_one_of": "is none of",
}
GRADES = {"primary": "primary source", "secondary": "secondary source", "expert_default": "expert default"}


@app.command("list")
def list_(as_json: Annotated[bool, typer.Option("--json", help="As JSON, one pack a line.")] = False) -> None:
    """Lists the packs: id, version, steps, rules, hash."""
    packs = [pack for _, pack in sorted(PackLibrary(ReferenceEngine()).protocols.items())]
    if as_json:
        for pack in packs:
            steps = [step.id for step in pack.ladder]
            say(json.dumps({"id": pack.id, "version": pack.version, "title": pack.title, "steps": steps, "hash": pack.hash}))
        return
    rows = [
        (pack.id, pack.version, f"{pack.ladder[0].id}-{pack.ladder[-1].id}", str(len(pack.rules)), pack.hash[:19], pack.title)
        for pack in packs
    ]
    columns = ("id", "version", "steps", "rules", "hash", "title")
    if is_interactive():
        table = Table(*columns)
        for row in rows:
            table.add_row(*row)
        out.print(table)
        return
    for row in (columns, *rows):
        say("\t".join(row))


@app.command()
def show(pack: Annotated[str, typer.Argument(help="A pack's id, id@version, or the path of a pack file.")]) -> None:
    """Shows one pack in sentences: ladder, what makes a session clean, every rule with its sources."""
    found = _find(pack)
    say(f"{found.title} ({found.id}@{found.version})")
    say(f"{found.hash}")
    for line in found.opening:
        say(line)
    for line in found.disagreement:
        say(f"Sources disagree: {line}")
    say("\nLadder")
    for rung, step in enumerate(found.ladder):
        raised = f"raises {' and '.join(step.raises)}" if step.raises else "raises nothing" if rung else "the first step"
        say(f"  {step.id:4} {dose_words(step.dose)}; {raised}; {days(found.rest_days[step.id])}")
    say("\nPace")
    for line in pace_words(found):
        say(f"  - {line}")
    say("\nA session counts when")
    for condition in found.clean:
        say(f"  - {condition_words(found, condition)}")
    for kind, title in (("refer", "Stop and refer"), ("regress", "Go back"), ("hold", "Hold"), ("advance", "Advance, when all hold")):
        say(f"\n{title}")
        for rule in found.rules:
            if rule.kind != kind:
                continue
            where = "" if rule.steps is None else f" [at {rule.steps[0]}{'…' + rule.steps[-1] if len(rule.steps) > 1 else ''}]"
            say(f"  {rule.text}{where} ({GRADES[rule.grade]}; {', '.join(rule.cite)})")
            for condition in rule.when:
                say(f"    - {condition_words(found, condition)}")
            say(f"    Then: {consequence_words(rule)}. {unknown_words(rule)}")
            if rule.excepted_by:
                say(f"    Set aside where {' or '.join(rule.excepted_by)} is met.")
            if rule.disagreement:
                say(f"    Sources disagree: {rule.disagreement}")
    say("\nSources")
    for name, text in sorted(found.sources.items()):
        say(f"  {name} ({GRADES[found.grades[name]]}): {text}")


def _find(name: str) -> Protocol:
    if name.endswith((".yaml", ".yml")):
        try:
            return load(Path(name))
        except FaultyPack as faulty:
            stop(str(faulty))
    packs = PackLibrary(ReferenceEngine())
    found = packs.resolve(name)
    if found is None:
        stop(f"milepost protocol show: there is no pack {name}; there are {', '.join(packs.names())}")
    return found


def dose_words(dose: Dose) -> str:
    """A dose in words: `6 times 2 min run and 3 min walk, at most 3 a week, RPE up to 4, flat`."""
    parts = [dose.note or (f"{dose.run_s // 60} min run" if dose.run_s else "as a clinician sets it")]
    if dose.sessions_per_week_max is not None:
        parts.append(f"at most {dose.sessions_per_week_max} a week")
    if dose.rpe_max is not None:
        parts.append(f"RPE up to {dose.rpe_max}")
    parts.append({"flat": "flat", "rolling": "gentle hills", "hills": "hills"}[dose.terrain])
    return ", ".join(parts)


def condition_words(pack: Protocol, condition: Condition | AnyOf) -> str:
    """A condition in words, with how old it may be and who must have assessed it."""
    if isinstance(condition, AnyOf):
        return "any of: " + "; ".join(condition_words(pack, one) for one in flat([condition]))
    slot = pack.slots[condition.slot]
    kind = pack.facts[slot.fact]
    if isinstance(condition.value, bool):
        said = f"{kind.meaning}: {'yes' if condition.value else 'no'}"
    else:
        value = ", ".join(condition.value) if isinstance(condition.value, tuple) else f"{condition.value} {kind.unit}".strip()
        said = f"{kind.meaning} {WORDS[condition.op]} {value}"
    if slot.max_age_days is not None:
        said += f", not older than {slot.max_age_days} days"
    return said if slot.assessor is None else f"{said}, assessed by a {slot.assessor}"
