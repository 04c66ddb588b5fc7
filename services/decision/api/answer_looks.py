"""How the pages behind an answer link look: what is answered and on what grounds, then the form; no script, nothing from elsewhere."""

from collections.abc import Mapping
from html import escape
from typing import Any, Final

from services.decision.core.protocol import ENTRY, Protocol
from services.decision.rendering import render

_STYLE: Final = """
:root{color-scheme:light dark}
body{font:1rem/1.5 system-ui,sans-serif;max-width:42rem;margin:0 auto;padding:1rem;overflow-wrap:anywhere}
h1{font-size:1.4rem;line-height:1.25;margin:.5rem 0}h2{font-size:1rem;margin:1.2rem 0 .2rem}
ul{margin:0;padding-left:1.2rem}.whose{font-size:.9rem;margin:0}.lead{font-size:1.15rem;margin:.6rem 0}
.urgent{border-left:.3rem solid #c00;padding-left:.7rem}
fieldset{border:1px solid GrayText;border-radius:.4rem;padding:.5rem 1rem 1rem;margin-top:1.5rem}legend{font-weight:600;padding:0 .4rem}
label{display:block;padding:.45rem 0}.with{padding-left:1.7rem}
input[type=radio]{width:1.1rem;height:1.1rem;vertical-align:-.15rem;margin:0 .5rem 0 0}
input[type=text],select{font:inherit;width:100%;box-sizing:border-box;padding:.45rem;margin-top:.2rem}
button{font:inherit;font-weight:600;padding:.7rem 1.6rem;margin-top:.6rem}
summary{font-weight:600;padding:.6rem 0;cursor:pointer}form+.whose{margin-top:1rem}
@media(max-width:30rem){button{width:100%}}
"""
_CLASSES: Final = {"Urgent": ' class="urgent"'}
_LEFT_OUT: Final = ("Protocol",)
_FOLDED: Final = ("Stop the session when", "Sources that say otherwise")
"""What every recommendation of the protocol says alike: a touch away, so that a telephone shows what is to be judged."""
_ACTIONS: Final = {"advance": "advance", "hold": "hold", "regress": "go back"}


def page(title: str, body: str) -> str:
    """A whole page; `body` is HTML."""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main><h1>{escape(title)}</h1>
{body}
</main></body></html>"""


def paragraphs(*texts: str) -> str:
    """Plain texts, each a paragraph."""
    return "".join(f"<p>{escape(text)}</p>" for text in texts)


def question(decision: Mapping[str, Any], pack: Protocol | None) -> str:
    """The decision with its grounds, and the form that answers it. `pack` is the protocol it names, None where that is not at hand."""
    told = render(decision, "clinician", pack)
    shown = [one for one in told["sections"] if one["heading"] not in (*_LEFT_OUT, *_FOLDED)]
    folded = "".join(_section(one) for one in told["sections"] if one["heading"] in _FOLDED)
    whose = f"Athlete {escape(decision['subject'])}, course {escape(decision['course'])}"
    return f"""<p class="whose">{whose}</p>
<p class="lead">{escape(told["summary"])}</p>
{"".join(_section(one) for one in shown)}
<details><summary>Stop rules, and sources that say otherwise</summary>{folded}</details>
<form method="post"><fieldset><legend>Your answer</legend>
<label><input type="radio" name="answer" value="accepted" required>Accept: {escape(_recommended(decision))}</label>
<label><input type="radio" name="answer" value="declined">Decline: {escape(_declined(decision))}</label>
<label><input type="radio" name="answer" value="modified">Another step instead</label>
<label class="with">Which step {_steps(pack)}</label>
<label>Reason <input type="text" name="reason" maxlength="500" autocomplete="off"></label>
<button type="submit">Send the answer</button>
</fieldset></form>
<p class="whose">{escape(decision["protocol"]["id"])}, version {escape(decision["protocol"]["version"])}. The link answers once.</p>"""


def _section(one: Mapping[str, Any]) -> str:
    lines = "".join(f"<li>{escape(line)}</li>" for line in one["lines"])
    return f"<section{_CLASSES.get(one['heading'], '')}><h2>{escape(one['heading'])}</h2><ul>{lines}</ul></section>"


def _recommended(decision: Mapping[str, Any]) -> str:
    action, here, there = decision["action"], _step(decision["from_step"]), _step(decision["to_step"])
    return f"hold at {here}" if action == "hold" else f"{_ACTIONS[action]} from {here} to {there}"


def _declined(decision: Mapping[str, Any]) -> str:
    # A hold that is declined stays one: only another step, or a clearance, changes what is in force.
    still = "still " if decision["action"] == "hold" else ""
    return f"{still}hold at {_step(decision['from_step'])}, with your reason on record"


def _step(step: str) -> str:
    return "entry" if step == ENTRY else f"step {step}" if step != "complete" else "complete"


def _steps(pack: Protocol | None) -> str:
    if pack is None:
        return '<input type="text" name="step" maxlength="200" autocomplete="off">'
    options = "".join(f"<option>{escape(rung.id)}</option>" for rung in pack.ladder)
    return f'<select name="step"><option value="">-</option>{options}</select>'
