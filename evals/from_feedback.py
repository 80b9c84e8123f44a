"""Cases of a lender's own, from questions whose replies did not help: a file that
`zhunxin eval run FILE` takes, with the drafts on which two people agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import cast

from assistant.case_drafts import LABELLERS, CaseDraft, Facts, Label, case_id
from assistant.models import LOCALES
from knowledge.text import normalise

from .calibration import kappa
from .metrics import Share, wilson
from .schema import Case, Expect, Outcome


@dataclass(frozen=True, slots=True)
class LabelAgreement:
    """How far two people agreed before they saw each other's labels."""

    status: Share
    """Cohen's kappa on the expected status, -1 to 1."""
    facts: Share
    """Share of the drafts for which both named the same facts."""


def agree(one: Label, other: Label) -> bool:
    """Whether two people say the same of a draft."""
    return one.status == other.status and _comparable(one.facts) == _comparable(other.facts)


def case_of(draft: CaseDraft) -> Case | None:
    """The draft as a case; None until two people say the same of it."""
    if len(draft.labels) < LABELLERS or not agree(*draft.labels):
        return None
    one = draft.labels[0]
    asked_with = draft.settings
    locale = asked_with.get("locale")
    return Case(
        id=case_id(draft.id),
        text=draft.question,
        topic="feedback",
        difficulty="medium",
        source="borrowers' questions, labelled by two people",
        locale=locale if locale in LOCALES else "zh-Hans",
        as_of=_day(asked_with.get("on")),
        contract_date=_day(asked_with.get("contract_date")),
        expect=Expect(
            status=(cast("Outcome", one.status),),
            facts=tuple(tuple(fact) for fact in one.facts),
        ),
    )


def agreement_of(pairs: Sequence[tuple[Label, Label]]) -> LabelAgreement | None:
    """Of drafts that two people labelled; None where there are none."""
    if not pairs:
        return None
    same = [_comparable(a.first_facts) == _comparable(b.first_facts) for a, b in pairs]
    return LabelAgreement(
        status=kappa([(a.first_status, b.first_status) for a, b in pairs]),
        facts=wilson(sum(same), len(same)),
    )


def line_of(draft: CaseDraft) -> str | None:
    """The draft as a line of the file of cases; None until two people say the same of it."""
    case = case_of(draft)
    return case.model_dump_json(exclude_defaults=True) if case else None


def _comparable(facts: Facts) -> frozenset[frozenset[str]]:
    return frozenset(
        frozenset("".join(normalise(wording).split()) for wording in fact) for fact in facts
    )


def _day(iso: object) -> date | None:
    return date.fromisoformat(iso) if isinstance(iso, str) and iso else None
