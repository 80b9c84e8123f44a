"""What an agent could do next, why, and what stands against it: conditions and wording are data.

No model and no guess: a step is proposed for what triage tells of the borrower's words, what the
verified record says, and what clauses and rules ask. Before a contact is proposed, the rules of
collections are asked about hour, frequency and recipient.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from knowledge.chunk import quotable
from knowledge.documents import Clause

from . import compliance, triage
from .matching import BadPattern, Pattern, compile_pattern
from .models import Locale
from .rules import Channel, Rule, RulePack, read_context
from .triage import Triage, comparable

SHIPPED = Path(__file__).with_name("copilot.toml")

MOST_TONES = 3

Task = Literal["agent", "collections"]
Recipient = Literal["", "borrower", "third_party", "guarantor"]


class NextStepsError(Exception):
    """The data of next steps cannot be used; the message names what is wrong."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the verified record says, as far as steps depend on it."""

    loans: int = 0
    """That are open."""
    overdue_days: int = 0
    disputed: bool = False
    due_in_days: int | None = None
    """Until the next instalment that is not late."""
    shown: Mapping[str, str] = field(default_factory=dict)
    """Figures as they are written, by the names of variables of scripts."""


@dataclass(frozen=True, slots=True)
class Contact:
    """What is known of a contact that might be made."""

    channel: Channel
    recipient: Recipient = "borrower"
    calls_today: int | None = None
    """None: nobody knows."""


@dataclass(frozen=True, slots=True)
class Situation:
    """All that steps are proposed by."""

    said: Sequence[str]
    """The borrower's last messages, oldest first."""
    classes: Collection[str]
    """Of triage: of the hand-over and of those messages."""
    verified: bool
    facts: Facts | None
    """None: no record can be read."""
    task: Task
    now: datetime
    today: date
    locale: Locale
    contact: Contact | None = None
    """None: no contact is proposed."""


@dataclass(frozen=True, slots=True)
class Basis:
    """What the steps are looked up in."""

    triage: Triage | None
    rules: RulePack
    clauses: Sequence[Clause]
    due_days: Mapping[str, int]
    """Time limits in days, by name."""


@dataclass(frozen=True, slots=True)
class _Action:
    id: str
    row: Mapping[str, Any]
    said: tuple[Pattern, ...]


@dataclass(frozen=True, slots=True)
class _Table:
    actions: tuple[_Action, ...]
    tones: tuple[Mapping[str, Any], ...]
    contact: Mapping[str, Any]


@lru_cache(maxsize=2)
def load_steps(file: Path = SHIPPED) -> _Table:
    """Raises NextStepsError."""
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
        actions = tuple(
            _Action(row["id"], row, tuple(compile_pattern(p) for p in row.get("said", ())))
            for row in table["action"]
        )
        return _Table(actions, tuple(table["tone"]), table["contact"])
    except (tomllib.TOMLDecodeError, KeyError, TypeError, BadPattern) as error:
        raise NextStepsError(f"{file.name}: {type(error).__name__}: {error}") from None


def propose(situation: Situation, basis: Basis) -> dict[str, Any]:
    """`actions`, the first the most urgent, `tone` and `verified`, JSON-ready."""
    table = load_steps()
    made: list[dict[str, Any]] = []
    for action in table.actions:
        why = _why(action, situation, {each["id"] for each in made})
        if why is not None:
            made.append(_as_json(action, why, situation, basis))
            if action.row.get("alone"):
                break
    if situation.contact is not None:
        made.append(_contact(table.contact, situation, basis, situation.contact))
    return {
        "actions": [{**each, "priority": place} for place, each in enumerate(made, start=1)],
        "tone": list(tones(table.tones, situation)),
        "verified": situation.verified,
    }


def tones(rows: Sequence[Mapping[str, Any]], situation: Situation) -> Iterator[str]:
    """How to speak now."""
    held = [
        row
        for row in rows
        if set(row.get("classes", situation.classes)) & set(situation.classes)
        or "classes" not in row
        if situation.task in row.get("tasks", (situation.task,))
    ]
    yield from (row[situation.locale] for row in held[:MOST_TONES])


def _why(action: _Action, situation: Situation, made: Collection[str]) -> str | None:
    """The words of the borrower that the step answers to, empty where it is another fact; None
    where a condition does not hold."""
    row, facts = action.row, situation.facts
    if set(row.get("not_with", ())) & set(made):
        return None
    if situation.task not in row.get("tasks", (situation.task,)):
        return None
    if "verified" in row and row["verified"] != situation.verified:
        return None
    if "classes" in row and not set(row["classes"]) & set(situation.classes):
        return None
    needs_record = {"overdue", "loans", "disputed", "due_within"} & set(row)
    if needs_record and facts is None:
        return None
    if facts is not None:
        if facts.overdue_days < row.get("overdue", 0) or facts.loans < row.get("loans", 0):
            return None
        if row.get("disputed") and not facts.disputed:
            return None
        within = row.get("due_within")
        if within is not None and (facts.due_in_days is None or facts.due_in_days > within):
            return None
    if not action.said:
        return _said_of(situation, row.get("classes", ()))
    return next(
        (
            text
            for text in reversed(situation.said)
            if any(pattern.within(comparable(text)) for pattern in action.said)
        ),
        None,
    )


def _said_of(situation: Situation, classes: Collection[str]) -> str:
    return situation.said[-1] if classes and situation.said else ""


def _as_json(action: _Action, said: str, situation: Situation, basis: Basis) -> dict[str, Any]:
    row, locale = action.row, situation.locale
    sources: list[dict[str, Any]] = []
    if said:
        sources.append({"kind": "said", "text": said})
    recorded = row.get("recorded", {}).get(locale, "")
    shown = situation.facts.shown if situation.facts else {}
    if recorded and all(name in shown for name in _slots(recorded)):
        sources.append({"kind": "record", "text": recorded.format_map(shown)})
    places = (row.get("clause"), *row.get("more", ()), row.get("internal_clause"))
    for source, words in filter(None, places):
        found = clause_saying(basis.clauses, source, words, situation.today)
        if found is not None:
            clause, quote = found
            internal = {"internal": True} if clause.audience == "agent" else {}
            sources.append(
                {
                    "kind": "clause",
                    "text": quote,
                    "clause_id": clause.id,
                    "where": f"{clause.head.title} {clause.locator.split(' > ')[-1]}",
                    **internal,
                }
            )
    rule = basis.rules.by_id.get(row.get("rule", ""))
    if rule is not None:
        sources.append(_rule_source(rule, locale))
    if row.get("limits") and basis.triage is not None:
        sources += _limits(row, situation, basis.triage)
    days = basis.due_days.get(row.get("due", ""))
    return {
        "id": action.id,
        "title": row["title"][locale],
        "reason": row["reason"][locale],
        "allowed": True,
        "why_not": "",
        "source": sources,
        "script": row.get("script", ""),
        "due_at": (situation.today + timedelta(days=days)).isoformat() if days else None,
    }


def _slots(wording: str) -> list[str]:
    return [part.split("}")[0] for part in wording.split("{")[1:]]


def _rule_source(rule: Rule, locale: Locale) -> dict[str, str]:
    title = rule.title(locale)
    return {"kind": "rule", "text": title, "rule": rule.id}


def _limits(row: Mapping[str, Any], situation: Situation, held: Triage) -> Iterator[dict[str, str]]:
    classes = tuple(each for each in held.classes if each.id in row["classes"])
    told = triage.Told(classes, "pattern")
    text = "\n".join(situation.said)
    for limit in triage.limits_of(held, told, text, situation.today):
        where = f"{limit.regulation}{limit.article}"
        yield {"kind": "limit", "text": limit.wording[situation.locale], "where": where}


def clause_saying(
    clauses: Sequence[Clause], source: str, words: str, on: date
) -> tuple[Clause, str] | None:
    """The clause in force of a document that has some words, and the sentence that has them."""
    for clause in clauses:
        if clause.source.endswith(source) and clause.in_force(on) and words in clause.text:
            quote = next((q for q in quotable(clause) if words in q), "")
            if quote:
                return clause, quote
    return None


# A contact, by the rules -------------------------------------------------------------------------


def _contact(
    words: Mapping[str, Any], situation: Situation, basis: Basis, contact: Contact
) -> dict[str, Any]:
    """Whether the borrower may be contacted so, now. What is not known forbids it."""
    locale = situation.locale
    why, sources = "", []
    calls = contact.channel in words["calls"]
    if "crisis" in situation.classes:
        why = words["in_crisis"][locale]
    elif {"hardship", "dispute"} & set(situation.classes) or (
        situation.facts is not None and situation.facts.disputed
    ):
        why = words["paused"][locale]
    elif calls and contact.calls_today is None:
        why = words["unknown_calls"][locale]
    for rule in broken_rules(words, situation, basis, contact, situation.now):
        title = rule.title(locale)
        why = why or title
        sources.append(_rule_source(rule, locale))
    earliest = None
    if sources:
        earliest = permitted_from(basis.rules, situation.now)
        if earliest > situation.now:
            zone = ZoneInfo(str(basis.rules.settings["timezone"]))
            local = earliest.astimezone(zone).strftime("%Y-%m-%d %H:%M")
            why = f"{why} {words['from'][locale].format(time=local)}"
    return {
        "id": "contact",
        "title": words["title"][locale].format(channel=contact.channel),
        "reason": words["reason"][locale],
        "allowed": not why,
        "why_not": why,
        "source": sources
        or [
            _rule_source(basis.rules.by_id[rule], locale)
            for rule in words["rules"]
            if rule in basis.rules.by_id
        ],
        "script": "",
        "due_at": earliest.isoformat() if earliest and earliest > situation.now else None,
    }


def broken_rules(
    words: Mapping[str, Any],
    situation: Situation,
    basis: Basis,
    contact: Contact,
    at: datetime,
) -> list[Rule]:
    """The rules of collections that stand against a contact at a time."""
    context = read_context(
        {
            "at": at.isoformat(),
            "calls_today": contact.calls_today,
            "recipient": contact.recipient or None,
            "own_platform": True,
        }
    )
    found = compliance.review(
        basis.rules,
        words["probe"],
        task="collections",
        channel=contact.channel,
        context=context,
        on=situation.today,
    )
    of_contacts = set(words["rules"])
    broken = {f.rule.id: f.rule for f in found.findings if f.rule.id in of_contacts}
    return list(broken.values())


def permitted_from(rules: RulePack, at: datetime) -> datetime:
    """The first instant from `at` on that is outside quiet hours of collections; `at` itself where
    it is, or the institution has set none."""
    first = rules.settings.get("collection_quiet_from")
    last = rules.settings.get("collection_quiet_to")
    if not isinstance(first, time) or not isinstance(last, time):
        return at
    zone = ZoneInfo(str(rules.settings["timezone"]))
    local = at.astimezone(zone)
    clock = local.time()
    quiet = first <= clock < last if first <= last else clock >= first or clock < last
    if not quiet:
        return at
    day = local.date() + timedelta(days=clock >= last)
    return datetime.combine(day, last, zone)
