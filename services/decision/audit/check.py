"""A dossier checked on its own: signatures, commitments, inclusion, packs, and every decision made again from the events."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from services.decision.audit.dossier import FORM, PURPOSE, decisions_of
from services.decision.audit.packs import OnlyThese, Pinned
from services.decision.audit.rows import checked
from services.decision.core.athlete import Athlete
from services.decision.core.decision import ENGINE, sealed
from services.decision.core.protocol import Protocol
from services.decision.rules.faults import FaultyPack
from services.decision.rules.library import load_recorded
from services.decision.store.rows import OUTSIDE_THE_FOLD
from shared.events import canonical, parse
from shared.proof import Checkpoint, NoteFault, ProofFault, Verifier, verify_inclusion


@dataclass
class Judged:
    """What was checked, in sentences; `faults` is empty when all of it holds."""

    held: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def check(dossier: Mapping[str, Any], key: str | None = None) -> Judged:
    """Checks everything that can be checked without anything else.

    `key`: the public key that must have signed it; without one, the dossier's own is taken, which proves that it is whole, not whose it is.
    """
    judged = Judged()
    try:
        if dossier["milepost_dossier"] != FORM:
            judged.faults.append(f"form {dossier['milepost_dossier']}: expected form {FORM}; use the release that made it, or a newer one")
            return judged
        verifier = Verifier.read(key or dossier["key"])
        _signature(dossier, verifier, judged)
        _leaves(dossier, verifier.open(dossier["checkpoint"]), judged)
        if judged.faults:
            # Altered: which row, the leaves said; what else it claims is worth nothing.
            return judged
        if not dossier["erased"]:
            _decisions(dossier, _packs(dossier, judged), judged)
        else:
            judged.held.append("the athlete was erased: proofs hold, nothing can be read")
    except (ProofFault, NoteFault) as fault:
        judged.faults.append(str(fault))
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error) as fault:
        judged.faults.append(f"not a dossier, or one that was altered: {type(fault).__name__}: {fault}")
    return judged


def _signature(dossier: Mapping[str, Any], verifier: Verifier, judged: Judged) -> None:
    body = {name: value for name, value in dossier.items() if name != "signature"}
    signature = base64.b64decode(dossier["signature"], validate=True)
    if base64.b64encode(signature).decode() != dossier["signature"] or not verifier.holds(PURPOSE + canonical(body), signature):
        judged.faults.append("the signature does not hold: the file was altered, or another key signed it")
        return
    judged.held.append(f"signed with {verifier.text}")


def _leaves(dossier: Mapping[str, Any], point: Checkpoint, judged: Judged) -> None:
    rows = 0
    for leaf in dossier["leaves"]:
        if (leaf["tree"], leaf["partition"]) != (point.tree, point.partition):
            raise ProofFault(f"leaf {leaf['partition']}/{leaf['seq']} is of another tree than the checkpoint")
        path = [bytes.fromhex(node) for node in leaf["path"]]
        verify_inclusion(checked(leaf), leaf["seq"] - 1, point.size, path, point.root)
        rows += len(leaf["rows"])
    judged.held.append(f"{rows} rows under {len(dossier['leaves'])} leaves stand in the tree of {point.size} signed at {point.at}")


def _packs(dossier: Mapping[str, Any], judged: Judged) -> dict[str, Protocol]:
    found = {}
    for one in dossier["packs"]:
        name = f"pack {one['id']}@{one['version']}"
        try:
            protocol = load_recorded(name, one["text"].encode(), [floor.encode() for floor in one["floors"]]).protocol
        except FaultyPack as fault:
            judged.faults.append(f"{name} cannot be read: {fault.faults[0]}")
            continue
        if protocol.hash != one["hash"]:
            judged.faults.append(f"{name}: its text is {protocol.hash}, and decisions name {one['hash']}")
            continue
        found[protocol.hash] = protocol
        judged.held.append(f"{name} is {protocol.hash}")
    return found


def _decisions(dossier: Mapping[str, Any], packs: dict[str, Protocol], judged: Judged) -> None:
    decisions = decisions_of(dossier["leaves"])
    for number, decision in enumerate(decisions, 1):
        told = decision.pop("hash")
        if sealed(decision)[0] != told:
            judged.faults.append(f"decision {number}: its hash is not that of its content")
        if (decision["course"], decision["seq"]) != (dossier["course"], number):
            judged.faults.append(f"decision {number} is number {decision['seq']} of {decision['course']}: one is missing or foreign")
    judged.held.append(f"{len(decisions)} decisions of {dossier['course']}, none missing, each with its hash")
    engines = {decision["engine"] for decision in decisions}
    if engines - {ENGINE}:
        judged.held.append(f"decisions of {', '.join(sorted(engines - {ENGINE}))} are not made again here: this is {ENGINE}")
        return
    again = _again(dossier, packs)
    for number, decision in enumerate(decisions, 1):
        if again.get(number) != orjson.dumps({**decision, "hash": ""}, option=orjson.OPT_SORT_KEYS):
            judged.faults.append(f"decision {number}: made again from the events, it says something else")
            return
    judged.held.append("every decision, made again from the events under the packs, is the same byte for byte")


def _again(dossier: Mapping[str, Any], packs: dict[str, Protocol]) -> dict[int, bytes]:
    """The course's decisions folded anew, by number, without their hashes."""
    library = Pinned(OnlyThese(packs), dossier["protocols"])
    athlete, made = Athlete(library), {}
    for leaf in dossier["leaves"]:
        shown = [one for one in leaf["rows"] if "row" in one]
        events = [one["row"] for one in shown if one["table"] == "events"]
        outside = any(one["row"]["n"] == OUTSIDE_THE_FOLD for one in shown if one["table"] == "event_outcomes")
        if not events or outside:
            continue
        event = parse(orjson.loads(events[0]["body"]), internal=True)
        library.about(event)
        for decision in athlete.receive(event, bytes.fromhex(events[0]["digest"])).decisions:
            if decision.course == dossier["course"]:
                made[decision.seq] = orjson.dumps({**decision.body, "hash": ""}, option=orjson.OPT_SORT_KEYS)
    return made
