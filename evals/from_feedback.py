"""Cases of a lender's own, from questions whose replies did not help: a file that
`zhunxin eval run FILE` takes, with the drafts on which two people agree."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import cast

from assistant.case_drafts import LABELLERS, CaseDraft, Facts
from assistant.config import Settings
from assistant.models import LOCALES
from knowledge.text import normalise

from .calibration import kappa
from .metrics import Share, wilson
from .schema import Case, Expect, Outcome

FILE = "feedback.jsonl"


@dataclass(frozen=True, slots=True)
class LabelAgreement:
    """How far two people agreed before they saw each other's labels."""

    status: Share
    """Cohen's kappa on the expected status, -1 to 1."""
    facts: Share
    """Share of the drafts for which both named the same facts."""


def cases_file(settings: Settings) -> Path:
    """In `cases` beside the lender's file; in the home folder where the lender is the sample."""
    folder = settings.lender.parent if settings.lender else settings.home
    return folder / "cases" / FILE


def case_of(draft: CaseDraft) -> Case | None:
    """The draft as a case; None until two people say the same of it."""
    if len(draft.labels) < LABELLERS:
        return None
    one, other = draft.labels
    if one.status != other.status or _comparable(one.facts) != _comparable(other.facts):
        return None
    asked_with = draft.settings
    locale = asked_with.get("locale")
    return Case(
        id=f"feedback-{draft.id[:12]}",
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


def agreement_of(drafts: Sequence[CaseDraft]) -> LabelAgreement | None:
    """None where nothing was labelled by two."""
    twice = [draft.labels for draft in drafts if len(draft.labels) == LABELLERS]
    if not twice:
        return None
    same = [_comparable(a.first_facts) == _comparable(b.first_facts) for a, b in twice]
    return LabelAgreement(
        status=kappa([(a.first_status, b.first_status) for a, b in twice]),
        facts=wilson(sum(same), len(same)),
    )


async def write_cases(drafts: Sequence[CaseDraft], file: Path) -> int:
    """Write the file anew with those of all drafts that two people agree on, and return how many;
    a file that would be empty is removed."""
    cases = [case for draft in drafts if (case := case_of(draft))]
    await asyncio.to_thread(_write, sorted(cases, key=lambda case: case.id), file)
    return len(cases)


def _write(cases: Sequence[Case], file: Path) -> None:
    if not cases:
        file.unlink(missing_ok=True)
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = (case.model_dump_json(exclude_defaults=True) + "\n" for case in cases)
    made = file.with_name(f".{file.name}.new")
    made.write_text("".join(lines), encoding="utf-8")
    made.replace(file)


def _comparable(facts: Facts) -> frozenset[frozenset[str]]:
    return frozenset(
        frozenset("".join(normalise(wording).split()) for wording in fact) for fact in facts
    )


def _day(iso: object) -> date | None:
    return date.fromisoformat(iso) if isinstance(iso, str) and iso else None
