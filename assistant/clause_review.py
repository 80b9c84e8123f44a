"""The compliance rules applied to clauses: what a lender's own texts say that must not go out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import date

from knowledge.chunk import quotable
from knowledge.clearance import Flaw, Rules
from knowledge.documents import Clause
from knowledge.lender import Lender, is_of_another
from prompts.render import notice

from .compliance import applicable, review
from .rules import RulePack, read_context

OTHER_COMPANY = "other-company"
"""What stands against all clauses of another company's document."""


def clause_rules(pack: RulePack, on: date, lender: Lender | None = None) -> Rules:
    """The rules of a day, for clauses: each sentence as it would be quoted, and judged, in a chat.

    What depends on the question is left to the gate, which knows it.
    lender: whose documents they are; None where nobody said so.
    """
    in_force = dict.fromkeys(rule.id for rule, _ in applicable(pack, "chat", "chat", on))
    named = "\n".join([pack.version, *in_force, lender.name if lender else ""])
    context = read_context({"own_platform": True})

    def flaws(clause: Clause) -> Iterator[Flaw]:
        if lender and is_of_another(lender, clause.head.title):
            yield Flaw(
                rule=OTHER_COMPANY,
                title=notice("other_company", "zh-Hans"),
                title_en=notice("other_company", "en"),
                severity="block",
                span=(0, len(clause.text.partition("\n")[0])),
            )
        at = 0
        for quote in quotable(clause):
            at = clause.text.index(quote, at)
            found = review(
                pack, quote, task="chat", channel="chat", context=context, on=on, whole=False
            )
            for finding in found.findings:
                start, end = finding.span
                yield Flaw(
                    rule=finding.rule.id,
                    title=finding.rule.title_zh,
                    title_en=finding.rule.title_en,
                    severity=finding.severity,
                    span=(at + start, at + end),
                )
            at += len(quote)

    return Rules(
        version=hashlib.sha256(named.encode()).hexdigest(), review=lambda clause: [*flaws(clause)]
    )
