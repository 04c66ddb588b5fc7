"""The engines that somebody would otherwise pick, each on the same table in its own best form: which rules are met.

Everything that can be done before a question comes is done before it: tables loaded, expressions compiled, names bound.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import celpy
import clips
import rule_engine
import zen

from services.decision.core.trivalent import Tri
from services.decision.engines.reference import compile_protocol
from tests.bench.tables import Table

Values = tuple[int, ...]
Met = set[str]
Peer = Callable[[Values], Met]
"""The ids of the rules met."""

RUNG, TISSUE = 0, 0


def reference(table: Table, traced: bool) -> Peer:
    """This product's engine, at one step of the ladder, where every rule applies."""
    compiled = compile_protocol(table.protocol)
    ids = [rule.id for rule in table.protocol.rules]

    def answer(values: Values) -> Met:
        found = (compiled.trace(values, RUNG, TISSUE).answer if traced else compiled.judge(values, RUNG, TISSUE)).verdicts
        return {name for name, verdict in zip(ids, found, strict=True) if verdict is Tri.MET}

    return answer


def zen_table(table: Table, traced: bool) -> Peer:
    """A decision table that collects every row that matches; its trace lists these rows."""
    fields = [{"id": fact, "field": fact, "name": fact} for fact in table.facts]
    rows = []
    for rule in table.protocol.rules:
        cells = {fact: f"{sign} {threshold}" for fact, sign, threshold in table.tests(rule)}
        rows.append({"_id": rule.id, **{fact: cells.get(fact, "") for fact in table.facts}, "rule": json.dumps(rule.id)})
    content = {"hitPolicy": "collect", "inputs": fields, "outputs": [{"id": "rule", "field": "rule", "name": "rule"}], "rules": rows}
    nodes = [
        {"id": name, "name": name, "type": f"{kind}Node", "position": {"x": 0, "y": 0}, "content": of}
        for name, kind, of in (("in", "input", {}), ("rows", "decisionTable", content), ("out", "output", {}))
    ]
    edges = [{"id": a + b, "type": "edge", "sourceId": a, "targetId": b} for a, b in (("in", "rows"), ("rows", "out"))]
    decision = zen.ZenEngine().create_decision(json.dumps({"nodes": nodes, "edges": edges}))
    options: Any = {"trace": traced}

    def answer(values: Values) -> Met:
        found = decision.evaluate(dict(zip(table.facts, values, strict=True)), options)
        return {row["rule"] for row in found["result"]}

    return answer


def clips_rules(table: Table) -> Peer:
    """One fact with a slot for each value, one rule for each rule; reset before each question."""
    environment = clips.Environment()
    met: list[str] = []
    environment.define_function(met.append, name="met")
    slots = " ".join(f"(slot {fact} (type INTEGER))" for fact in table.facts)
    environment.build(f"(deftemplate athlete {slots})")
    for rule in table.protocol.rules:
        tests = " ".join(f"({fact} ?{fact}&:({sign} ?{fact} {threshold}))" for fact, sign, threshold in table.tests(rule))
        environment.build(f"(defrule {rule.id} (athlete {tests}) => (met {rule.id}))")
    template = environment.find_template("athlete")

    def answer(values: Values) -> Met:
        met.clear()
        environment.reset()
        template.assert_fact(**dict(zip(table.facts, values, strict=True)))
        environment.run()
        return {str(name) for name in met}

    return answer


def expressions(table: Table) -> Peer:
    """`rule-engine`: one compiled expression for each rule."""
    rules = [(rule.id, rule_engine.Rule(" and ".join(_written(table, rule)))) for rule in table.protocol.rules]

    def answer(values: Values) -> Met:
        thing = dict(zip(table.facts, values, strict=True))
        return {name for name, rule in rules if rule.matches(thing)}

    return answer


def cel(table: Table) -> Peer:
    """`cel-python`: one compiled program for each rule."""
    environment = celpy.Environment()
    programs = [(rule.id, environment.program(environment.compile(" && ".join(_written(table, rule))))) for rule in table.protocol.rules]

    def answer(values: Values) -> Met:
        context: Mapping[str, Any] = {fact: celpy.celtypes.IntType(value) for fact, value in zip(table.facts, values, strict=True)}
        return {name for name, program in programs if program.evaluate(dict(context))}

    return answer


def _written(table: Table, rule: Any) -> list[str]:
    return [f"{fact} {sign} {threshold}" for fact, sign, threshold in table.tests(rule)]
