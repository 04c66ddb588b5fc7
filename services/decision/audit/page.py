"""A dossier as a page for people: printable, without scripts and without anything from elsewhere."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

import orjson

from services.decision.audit.dossier import decisions_of

_DECISIONS: Final = ("No.", "Known at", "Decision", "Why")
_OUTCOMES: Final = {"not_met": "not met", "unknown": "not known"}
"""Rules that did not decide: shown after those that did, or a reader takes what was merely not known for what was found."""
_EVENTS: Final = ("Time", "Type", "What was said", "What became of it")
_TOLD: Final = ("At", "Type", "To", "Outcome")
_STYLE: Final = """
body{font:14px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#111}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}table{border-collapse:collapse;width:100%}
td,th{border-bottom:1px solid #ccc;padding:.3rem .5rem;text-align:left;vertical-align:top}
code{font-size:.8rem;word-break:break-all}pre{white-space:pre-wrap;word-break:break-all}.action{font-weight:600}
ul{margin:0;padding-left:1.2rem}
@media(max-width:45rem){table,tbody,tr,td{display:block;width:auto}th{display:none}tr{border-bottom:1px solid #ccc;padding:.5rem 0}
td{border:0;padding:.1rem 0}td::before{content:attr(data-of) " ";display:block;color:#555;font-size:.8rem}}
@media print{body{margin:0;max-width:none}tr{break-inside:avoid}h2{break-after:avoid}}
"""


def page(dossier: Mapping[str, Any]) -> str:
    """The whole dossier in HTML; what it says of itself, not a judgement of whether it holds."""
    decisions = decisions_of(dossier["leaves"])
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>Dossier {escape(dossier['course'])}</title><style>{_STYLE}</style></head><body>",
        f"<h1>Course {escape(dossier['course'])}</h1>",
        f"<p>Athlete <code>{escape(dossier['subject'])}</code>, tenant <code>{escape(dossier['tenant'])}</code>,",
        f" made {escape(dossier['made_at'])}. ",
        "To check it: save the JSON form and run <code>milepost verify FILE</code>.</p>",
        f"<h2>Decisions</h2><table>{_head(_DECISIONS)}",
        *(_decision(one) for one in decisions),
        f"</table><h2>Events</h2><table>{_head(_EVENTS)}",
        *(_event(leaf) for leaf in dossier["leaves"]),
        f"</table><h2>What was told</h2><table>{_head(_TOLD)}",
        *(_delivery(one) for one in dossier["deliveries"]),
        "</table><h2>Protocols</h2><ul>",
        *(f"<li>{escape(one['id'])}@{escape(one['version'])} <code>{escape(one['hash'])}</code></li>" for one in dossier["packs"]),
        f"</ul><h2>Proof</h2><p>Checkpoint:</p><pre>{escape(dossier['checkpoint'])}</pre>",
        f"<p>Key: <code>{escape(dossier['key'])}</code></p><p>Signature: <code>{escape(dossier['signature'])}</code></p></body></html>",
    ]
    return "".join(parts)


def _head(names: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<th>{name}</th>' for name in names)}</tr>"


def _row(names: Sequence[str], cells: Sequence[str]) -> str:
    """Each cell knows its column: a narrow page stacks them and has no header row."""
    told = [f"<td data-of='{name}'>{cell}</td>" for name, cell in zip(names, cells, strict=True)]
    return f"<tr>{''.join(told)}</tr>"


def _decision(one: Mapping[str, Any]) -> str:
    why = "".join(
        f"<li><span class='action'>{_OUTCOMES.get(reason['outcome'], escape(str(reason['outcome'])))}</span>: "
        f"{escape(str(reason['text']))} <small>{escape(', '.join(map(str, reason['citation'])))}</small></li>"
        for reason in sorted(one["reasons"], key=lambda reason: reason["outcome"] in _OUTCOMES)
    )
    superseded = f"<br>supersedes <code>{escape(one['supersedes'])}</code>" if one["supersedes"] else ""
    step = f"{escape(str(one['from_step']))} to {escape(str(one['to_step']))}"
    said = f"<span class='action'>{escape(one['action'])}</span> {step}<br>{escape(one['summary'])}{superseded}"
    return _row(_DECISIONS, (str(one["seq"]), f"{escape(one['as_at'])}<br>as of {escape(one['as_of'])}", said, f"<ul>{why}</ul>"))


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
    return _row(_EVENTS, cells)


def _delivery(one: Mapping[str, Any]) -> str:
    outcome = " ".join(str(part) for part in (one["state"], one["status"], one["error"], one["because"]) if part is not None)
    to = f"<code>{escape(str(one['endpoint'] or ''))}</code>"
    return _row(_TOLD, (escape(str(one["at"] or one["told_at"])), escape(one["type"]), to, escape(outcome)))
