"""A dossier as a page for people: printable, without scripts and without anything from elsewhere."""

from collections.abc import Mapping
from html import escape
from typing import Any, Final

import orjson

from services.decision.audit.dossier import decisions_of

_STYLE: Final = """
body{font:14px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#111}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}table{border-collapse:collapse;width:100%}
td,th{border-bottom:1px solid #ccc;padding:.3rem .5rem;text-align:left;vertical-align:top}
code{font-size:.8rem;word-break:break-all}.action{font-weight:600}
@media print{body{margin:0;max-width:none}tr{break-inside:avoid}h2{break-after:avoid}}
"""


def page(dossier: Mapping[str, Any]) -> str:
    """The whole dossier in HTML; what it says of itself, not a judgement of whether it holds."""
    decisions = decisions_of(dossier["leaves"])
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        f"<title>Dossier {escape(dossier['course'])}</title><style>{_STYLE}</style></head><body>",
        f"<h1>Course {escape(dossier['course'])}</h1>",
        f"<p>Athlete <code>{escape(dossier['subject'])}</code>, tenant <code>{escape(dossier['tenant'])}</code>,",
        f" made {escape(dossier['made_at'])}. ",
        "To check it: save the JSON form and run <code>milepost verify FILE</code>.</p>",
        "<h2>Decisions</h2><table><tr><th>No.</th><th>Known at</th><th>Decision</th><th>Why</th></tr>",
        *(_decision(one) for one in decisions),
        "</table><h2>Events</h2><table><tr><th>Time</th><th>Type</th><th>What was said</th><th>What became of it</th></tr>",
        *(_event(leaf) for leaf in dossier["leaves"]),
        "</table><h2>What was told</h2><table><tr><th>At</th><th>Type</th><th>To</th><th>Outcome</th></tr>",
        *(_delivery(one) for one in dossier["deliveries"]),
        "</table><h2>Protocols</h2><ul>",
        *(f"<li>{escape(one['id'])}@{escape(one['version'])} <code>{escape(one['hash'])}</code></li>" for one in dossier["packs"]),
        f"</ul><h2>Proof</h2><p>Checkpoint:</p><pre>{escape(dossier['checkpoint'])}</pre>",
        f"<p>Key: <code>{escape(dossier['key'])}</code></p><p>Signature: <code>{escape(dossier['signature'])}</code></p></body></html>",
    ]
    return "".join(parts)


def _decision(one: Mapping[str, Any]) -> str:
    why = "".join(
        f"<li>{escape(str(reason['text']))} <small>{escape(', '.join(map(str, reason['citation'])))}</small></li>"
        for reason in one["reasons"]
    )
    superseded = f"<br>supersedes <code>{escape(one['supersedes'])}</code>" if one["supersedes"] else ""
    step = f"{escape(str(one['from_step']))} to {escape(str(one['to_step']))}"
    return (
        f"<tr><td>{one['seq']}</td><td>{escape(one['as_at'])}<br>as of {escape(one['as_of'])}</td>"
        f"<td><span class='action'>{escape(one['action'])}</span> {step}<br>{escape(one['summary'])}{superseded}</td>"
        f"<td><ul>{why}</ul></td></tr>"
    )


def _cited(reason: Mapping[str, Any]) -> str:
    return ", ".join(map(str, reason["citation"]))


def _event(leaf: Mapping[str, Any]) -> str:
    row = next((one["row"] for one in leaf["rows"] if one["table"] == "events" and "row" in one), None)
    if row is None:
        return "<tr><td colspan='4'>erased</td></tr>"
    outcomes = [one["row"] for one in leaf["rows"] if one["table"] == "event_outcomes" and "row" in one]
    try:
        said = orjson.dumps(orjson.loads(row["body"])["data"]).decode()
    except (orjson.JSONDecodeError, KeyError, TypeError):
        said = "not readable as an event"
    became = "; ".join(f"{one['id']}: {one['status']} {one['reason'] or ''}" for one in outcomes)
    cells = (escape(row["time"]), escape(row["type"]), f"<code>{escape(said)}</code>", escape(became))
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _delivery(one: Mapping[str, Any]) -> str:
    outcome = " ".join(str(part) for part in (one["state"], one["status"], one["error"], one["because"]) if part is not None)
    return (
        f"<tr><td>{escape(str(one['at'] or one['told_at']))}</td><td>{escape(one['type'])}</td>"
        f"<td><code>{escape(str(one['endpoint'] or ''))}</code></td><td>{escape(outcome)}</td></tr>"
    )
