"""A dossier as a page for people: printable, without scripts and without anything from elsewhere."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
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
body{font:14px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;color:#111}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}table{border-collapse:collapse;width:100%}
td,th{border-bottom:1px solid #ccc;padding:.3rem .5rem;text-align:left;vertical-align:top}
td{overflow-wrap:break-word}td:last-child{overflow-wrap:anywhere}.at,th{white-space:nowrap}
code{font-size:.8rem;overflow-wrap:anywhere}pre{white-space:pre-wrap;word-break:break-all}.action{font-weight:600}
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
        f" made {_moment(dossier['made_at'])}. All times are UTC, to the second; the JSON form has them whole. ",
        "To check it: save the JSON form and run <code>milepost verify FILE</code>.</p>",
        f"<p>{_extent(dossier['leaves'], decisions)}</p><h2>Decisions</h2><table>{_head(_DECISIONS)}",
        *(_decision(one) for one in decisions),
        f"</table><h2>Events</h2><table>{_head(_EVENTS)}",
        *(_event(leaf) for leaf in dossier["leaves"]),
        f"</table><h2>What was told</h2><table>{_head(_TOLD)}",
        *(_delivery(one) for one in sorted(dossier["deliveries"], key=_told_at)),
        "</table><h2>Protocols</h2><ul>",
        *(f"<li>{escape(one['id'])}@{escape(one['version'])} <code>{escape(one['hash'])}</code></li>" for one in dossier["packs"]),
        f"</ul><h2>Proof</h2><p>Checkpoint:</p><pre>{escape(dossier['checkpoint'])}</pre>",
        f"<p>Key: <code>{escape(dossier['key'])}</code></p><p>Signature: <code>{escape(dossier['signature'])}</code></p></body></html>",
    ]
    return "".join(parts)


def _extent(leaves: Sequence[Mapping[str, Any]], decisions: Sequence[Mapping[str, Any]]) -> str:
    """What the dossier holds, and where the course stands by its last decision."""
    holds = f"{_counted(len(decisions), 'decision')} on {_counted(len(leaves), 'event')}"
    if not decisions:
        return f"{holds}."
    last = decisions[-1]
    return f"{holds}. The last, known at {_moment(last['as_at'])}: <span class='action'>{escape(last['action'])}</span> {_steps(last)}."


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _moment(text: str, before: str = "") -> str:
    """An instant as people read it, with the whole of it beside; what is no instant is shown as it is."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return before + escape(text)
    if at.tzinfo is None:
        return before + escape(text)
    at = at.astimezone(UTC)
    return f"<span class='at'>{before}<time datetime='{escape(text)}'>{at:%Y-%m-%d %H:%M:%S}</time></span>"


def _steps(decision: Mapping[str, Any]) -> str:
    begin, end = escape(str(decision["from_step"])), escape(str(decision["to_step"]))
    return f"at {end}" if begin == end else f"from {begin} to {end}"


def _said(data: Any, of: str = "") -> Iterator[str]:
    """Every field by its name and value: `injury.tissue: tendon`."""
    if isinstance(data, dict) and data:
        for name, value in data.items():
            yield from _said(value, f"{of}.{name}" if of else name)
    else:
        told = data if isinstance(data, str) else orjson.dumps(data).decode()
        yield f"{escape(of)}: <b>{escape(told)}</b>"


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
    said = f"<span class='action'>{escape(one['action'])}</span> {_steps(one)}<br>{escape(one['summary'])}{superseded}"
    return _row(_DECISIONS, (str(one["seq"]), f"{_moment(one['as_at'])}<br>{_moment(one['as_of'], 'as of ')}", said, f"<ul>{why}</ul>"))


def _event(leaf: Mapping[str, Any]) -> str:
    row = next((one["row"] for one in leaf["rows"] if one["table"] == "events" and "row" in one), None)
    if row is None:
        return "<tr><td colspan='4'>erased</td></tr>"
    outcomes = [one["row"] for one in leaf["rows"] if one["table"] == "event_outcomes" and "row" in one]
    try:
        said = ", ".join(_said(orjson.loads(row["body"])["data"]))
    except (orjson.JSONDecodeError, KeyError, TypeError):
        said = "not readable as an event"
    became = "; ".join(f"{one['id']}: {one['status']} {one['reason'] or ''}".rstrip() for one in outcomes)
    cells = (_moment(row["time"]), escape(row["type"]).replace(".", ".<wbr>"), said, escape(became))
    return _row(_EVENTS, cells)


def _delivery(one: Mapping[str, Any]) -> str:
    outcome = " ".join(str(part) for part in (one["state"], one["status"], one["error"], one["because"]) if part is not None)
    to = f"<code>{escape(str(one['endpoint'] or ''))}</code>"
    return _row(_TOLD, (_moment(_told_at(one)), escape(one["type"]), to, escape(outcome)))


def _told_at(one: Mapping[str, Any]) -> str:
    return str(one["at"] or one["told_at"])
