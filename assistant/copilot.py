"""The agent pipeline: beside who holds a conversation, what may be said next, on what it rests, and
how the matter is closed.

Replies come from `answer`: the same evidence, tools and gate, with the rules of what agents write.
Whose record is read follows from the verified identity of the case alone. What next steps there
are, their wording and order are data: copilot.toml.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
import tomllib
import uuid
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

import structlog

from knowledge.documents import Clause
from knowledge.lender import Lender, stated_contact
from knowledge.retrieve import Index
from prompts.render import calculated, notice, notices, render

from . import compliance, copilot_store, figures, handoff, journal, privacy, tools, triage
from .answer import MAX_QUESTION_CHARS, suggest_answer
from .copilot_store import NotKept, Promised
from .customers import (
    Coupon,
    Customer,
    CustomerFault,
    Instalment,
    Loan,
    masked_id,
    masked_name,
)
from .deps import Deps
from .handoff import SUPERVISORS, Handoff
from .llm import Message, ModelError
from .models import Event, Locale, Question, Reply, Said
from .next_steps import Basis, Contact, Facts, Situation, Task, permitted_from, propose
from .rules import Channel, read_context
from .scripts import Script, fill, load_scripts, scripts_file
from .transcripts import Speaker, Turn
from .wrap_up import (
    ZONE,
    Promise,
    load_words,
    next_contact,
    promises,
    reason_of,
)

SHIPPED = Path(__file__).with_name("copilot.toml")

LAST_SAID = 3
"""The borrower's newest messages that next steps go by."""
MOST_CONTACTS = 5
MOST_DUE = 3
"""Instalments that a script lists."""
SUMMARY_TOKENS = 200
MOST_SUMMARY_CHARS = 600
_SHORT_CHARS = 80
_ENDS = frozenset("\u3002\uff01\uff1f.!?\uff1a:")
INTERNAL = "HOUSE-internal"
"""In place of a rule's id, where a text tells what only agents may read."""
FLAGS = ("complaint", "hardship", "crisis", "dispute", "fraud")

log = structlog.get_logger()


class CardNumber(Exception):
    """A text of staff holds a full card number, which is not taken."""


@dataclass(frozen=True, slots=True)
class Case:
    """A conversation that somebody at a desk has, as it stands now."""

    conversation_id: str
    """Of ours, or the id by which another desk knows it."""
    turns: tuple[Turn, ...]
    """Oldest first, with personal data masked as they are kept."""
    now: datetime
    today: date
    """The calendar day in Asia/Shanghai."""
    locale: Locale = "zh-Hans"
    task: Task = "agent"
    channel: Channel = "chat"
    handoff_id: str = ""
    """Empty: a transcript of another desk."""
    subject: str = field(default="", repr=False)
    customer_id: str = field(default="", repr=False)
    """Of the verified customer; empty: nobody known. Nothing that was written sets it."""
    classes: tuple[str, ...] = ()
    """Of triage, as the hand-over has them."""
    as_of: date | None = None
    contract_date: date | None = None
    contact: Contact | None = None
    """A contact that may be proposed, with what is known of it."""

    @property
    def verified(self) -> bool:
        return bool(self.customer_id)

    @property
    def told_figures(self) -> bool:
        """Whether who is spoken to may be told the customer's figures: nobody else may."""
        third = self.contact is not None and self.contact.recipient == "third_party"
        return self.verified and not third


@lru_cache(maxsize=2)
def _table(file: Path = SHIPPED) -> Mapping[str, Any]:
    return tomllib.loads(file.read_text(encoding="utf-8"))


# The case ----------------------------------------------------------------------------------------


async def case_of(deps: Deps, held: Handoff, *, now: datetime, **more: Any) -> Case:
    """The case of a hand-over: what was said before it and since, and whose it is.

    more: fields of Case that who asks sets: task, channel, locale, as_of, contact.
    """
    conversation = held.conversation_id
    records = await journal.read_turns(deps.engine, conversation)
    events = await handoff.read_events(deps.engine, conversation_id=conversation)
    customer_id, subject = await copilot_store.customer_of(deps.engine, deps.keys, conversation)
    turns: list[tuple[datetime, int, Turn]] = []
    for record in records:
        at = _instant(record["asked_at"])
        if record["question"]:
            turns.append((at, 0, Turn("borrower", record["question"], at)))
        said = "".join(
            sentence["text"]
            for sentence in (record["reply"] or {}).get("sentences", ())
            if sentence["kind"] != "notice"
        )
        if said:
            turns.append((at, 1, Turn("assistant", said, at)))
    for event in events:
        if event.kind == "message" and event.text:
            speaker: Speaker = "agent" if event.speaker == "agent" else "borrower"
            turns.append((event.at, 2, Turn(speaker, event.text, event.at, event.staff_id)))
    turns.sort(key=lambda each: each[:2])
    return Case(
        conversation_id=conversation,
        turns=tuple(turn for _, _, turn in turns),
        now=now,
        today=now.astimezone(ZONE).date(),
        handoff_id=held.id,
        subject=subject,
        customer_id=customer_id,
        classes=held.classes,
        **{"locale": held.locale, **{name: v for name, v in more.items() if v is not None}},
    )


def case_of_turns(
    conversation_id: str, turns: Iterable[Turn], *, now: datetime, **more: Any
) -> Case:
    """The case of a conversation that another desk holds. Nobody is verified by what it says.

    more: fields of Case, among them `subject` and `customer_id` of a token that was judged.
    """
    return Case(
        conversation_id=conversation_id,
        turns=masked_turns(turns),
        now=now,
        today=now.astimezone(ZONE).date(),
        **{name: value for name, value in more.items() if value is not None},
    )


def _instant(value: datetime | str) -> datetime:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def masked_turns(turns: Iterable[Turn]) -> tuple[Turn, ...]:
    """Turns that come from elsewhere, masked as ours are kept."""
    kept = privacy.NUMBERS | privacy.SECRETS
    return tuple(
        replace(
            turn,
            text=privacy.mask(
                turn.text, privacy.EVERY if turn.speaker == "borrower" else kept
            ).text,
        )
        for turn in turns
    )


def _last_said(case: Case) -> list[str]:
    said = [turn.text for turn in case.turns if turn.speaker == "borrower" and turn.text.strip()]
    return said[-LAST_SAID:]


def _asked(case: Case) -> tuple[str, tuple[Said, ...]]:
    """The message to answer, and what went before it. Of several messages since anybody answered,
    the last one that says more than a greeting."""
    least = _table()["suggest"]["least_letters"]
    fallback: int | None = None
    at: int | None = None
    for place in range(len(case.turns) - 1, -1, -1):
        turn = case.turns[place]
        if turn.speaker == "agent" and fallback is not None:
            break
        if turn.speaker != "borrower" or not turn.text.strip():
            continue
        fallback = place if fallback is None else fallback
        if sum(c.isalnum() for c in turn.text) >= least:
            at = place
            break
    chosen = fallback if at is None else at
    if chosen is None:
        return "", ()
    history: list[Said] = []
    for turn in case.turns[:chosen]:
        if turn.speaker == "borrower":
            history.append(Said("", turn.text, status="answered"))
        elif history and turn.speaker in ("agent", "assistant"):
            last = history[-1]
            history[-1] = replace(last, answer=f"{last.answer}{turn.text}"[:400])
    return case.turns[chosen].text[:MAX_QUESTION_CHARS], tuple(history)


def _classes(deps: Deps, texts: Iterable[str]) -> set[str]:
    held = deps.front.triage
    if held is None:
        return set()
    told = [triage.read(held, text) for text in texts]
    return {each.id for one in told if one is not None for each in one.classes}


def _in_crisis(case: Case, deps: Deps) -> bool:
    """Whether danger to life was spoken of and nobody has answered to it at length yet."""
    answered = any(turn.speaker == "agent" for turn in case.turns)
    return "crisis" in _classes(deps, _last_said(case)) or (
        "crisis" in case.classes and not answered
    )


# The record --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Record:
    """What the lender's systems have of the verified customer."""

    loans: tuple[Loan, ...]
    coupons: tuple[Coupon, ...]


async def _record(case: Case, deps: Deps) -> _Record | None:
    """None where nobody is known, or the lender's systems do not answer."""
    if not case.customer_id or deps.customers is None:
        return None
    try:
        return _Record(
            await deps.customers.loans(case.customer_id),
            await deps.customers.coupons(case.customer_id),
        )
    except CustomerFault as fault:
        log.warning("the record of a case cannot be read", fault=type(fault).__name__)
        return None


def _facts(record: _Record, case: Case, deps: Deps, clauses: Sequence[Clause]) -> Facts:
    """What steps depend on, of all loans; figures in words are those of one: the one that is most
    overdue, else the one that is due next."""
    owing = [loan for loan in record.loans if loan.unpaid()]
    disputed = any(loan.state == "disputed" for loan in record.loans)
    if not owing:
        return Facts(disputed=disputed)
    today, locale = case.today, case.locale

    def next_due(loan: Loan) -> Instalment | None:
        return next((i for i in loan.unpaid() if i.due_on >= today), None)

    def urgency(loan: Loan) -> tuple[int, date]:
        due = next_due(loan)
        return (-loan.days_overdue(today), due.due_on if due else date.max)

    named = min(owing, key=urgency)
    dues = [due for due in map(next_due, owing) if due is not None]
    shown = {
        "product": _product(deps.lender, named.product),
        "annual_rate": tools.show("annual_rate", named.annual_rate, locale),
        "outstanding_cny": tools.show("outstanding_cny", named.outstanding_cny, locale),
        "instalments_left": str(len(named.unpaid())),
        "due_list": _table()["summary"]["joint"][locale].join(
            f"{i.due_on.isoformat()} {tools.show('due_cny', named.due_cny(i), locale)}"
            for i in named.unpaid()[:MOST_DUE]
        ),
    }
    if owed := _owed_words(named, case, deps, clauses):
        shown["arrears_cny"] = owed
        shown["overdue_days"] = str(named.days_overdue(today))
    due = next_due(named)
    if due is not None:
        shown["next_due_on"] = due.due_on.isoformat()
        shown["next_due_cny"] = tools.show("next_due_cny", named.due_cny(due), locale)
    return Facts(
        loans=len(owing),
        overdue_days=named.days_overdue(today),
        disputed=disputed,
        due_in_days=min((each.due_on - today).days for each in dues) if dues else None,
        shown=shown,
    )


def _owed_words(loan: Loan, case: Case, deps: Deps, clauses: Sequence[Clause]) -> str:
    """What is owed today of what is past its due day, with the penalty interest, or said to be
    without it where that cannot be told; empty where nothing is."""
    late = [i for i in loan.unpaid() if i.due_on < case.today]
    if not late:
        return ""
    owed = tools.owed_cny(loan, deps.front.terms, clauses, case.today)
    if owed is not None:
        return tools.show("arrears_cny", owed, case.locale)
    unpaid = sum((loan.due_cny(i) for i in late), Decimal(0))
    form: str = _table()["record"]["without_penalty"][case.locale]
    return form.format(arrears_cny=tools.show("arrears_cny", unpaid, case.locale))


def _product(lender: Lender, key: str) -> str:
    names = lender.products.get(key)
    return names[0] if names else key


# Suggesting --------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Making:
    """A suggestion as it is put together."""

    case: Case
    deps: Deps
    index: Index
    started: float
    suggestion_id: str
    staff_id: str = ""
    keep: bool = True
    asked: str = ""
    citations: list[tuple[str, str]] = field(default_factory=list)
    """(clause id, quote) of each that was shown."""
    sentences: list[dict[str, Any]] = field(default_factory=list)
    evidence_ms: float = 0.0
    calculation_ms: float = 0.0
    first_sentence_ms: float = 0.0

    def elapsed_ms(self) -> float:
        return round((time.perf_counter() - self.started) * 1000, 1)

    def internal(self, clause_id: str) -> bool:
        clause = self.index.by_id.get(clause_id)
        return clause is None or clause.audience == "agent"

    @property
    def replied(self) -> list[dict[str, Any]]:
        """Sentences that the borrower may be sent."""
        return [each for each in self.sentences if not each["internal"]]


async def suggest(
    case: Case, deps: Deps, staff_id: str = "", *, keep: bool = True
) -> AsyncGenerator[Event, None]:
    """What to answer to the borrower's last message. Events, in this order but for `next`, which
    comes when it is ready:

    `evidence`, `calculation`: what is known, before a model was asked; each clause with `internal`,
    where borrowers must not read it.
    `citation`, `sentence`: of the suggested reply, as it passed the gate: `text`, `kind`,
    `citations`, `internal` (a note for the agent, no part of the reply), `verdict`, `findings`.
    `alternatives`: `reply`, `short` and `detailed`, each with `text`, `verdict`, `findings`.
    `next`: as `next_actions`.
    `done`: `suggestion_id`, `text`, `status`, `model`, `model_down`, `note`, `release`,
    `rules_version`, `timings`. Faults are told by `error` with a trace id.

    keep: whether what was suggested is entered in the audit chain; not for evaluations, in which
    nobody is answered. Raises before the first event: answer.BadQuestion,
    knowledge.store.NoRelease, VectorsMissing.
    """
    making = _Making(
        case, deps, await deps.index(), time.perf_counter(), uuid.uuid4().hex, staff_id, keep
    )
    steps = asyncio.create_task(next_actions(case, deps))
    try:
        async with aclosing(_suggested(making)) as events:
            async for event in events:
                if event.name == "done":
                    yield Event("next", dict(await steps))
                yield event
    finally:
        steps.cancel()
        await asyncio.gather(steps, return_exceptions=True)


class NotSuggested(Exception):
    """Something failed while a reply was suggested; what may be told of it, and its trace id."""

    def __init__(self, text: str, trace_id: str) -> None:
        super().__init__(f"{text} ({trace_id})")
        self.text = text
        self.trace_id = trace_id


LISTED = {"calculation": "calculations", "citation": "citations", "sentence": "sentences"}
"""Events of which there are several -> where they stand together."""


async def whole(events: AsyncGenerator[Event, None]) -> dict[str, Any]:
    """All that `suggest` tells, as one document. Raises NotSuggested, and what it raises."""
    found: dict[str, Any] = {"evidence": [], "alternatives": {}, "next": {}}
    found |= {name: [] for name in LISTED.values()}
    async with aclosing(events):
        async for event in events:
            if event.name == "error":
                raise NotSuggested(event.data["text"], event.data["trace_id"])
            if event.name == "evidence":
                found["evidence"] += event.data["clauses"]
            elif event.name in LISTED:
                found[LISTED[event.name]].append(event.data)
            elif event.name in ("alternatives", "next"):
                found[event.name] = event.data
            elif event.name == "done":
                found |= event.data
    return found


async def _suggested(making: _Making) -> AsyncGenerator[Event, None]:
    case, deps = making.case, making.deps
    making.asked, history = _asked(case)
    if _in_crisis(case, deps):
        for event in _say(making, _table()["suggest"]["in_crisis"][case.locale], "notice", ()):
            yield event
        async for event in _end(making, "handoff", note="in_crisis"):
            yield event
        return
    if not making.asked:
        async for event in _end(making, "clarify", note="no_question"):
            yield event
        return
    question = Question(
        text=making.asked,
        today=case.today,
        locale=case.locale,
        as_of=case.as_of,
        contract_date=case.contract_date,
        subject=case.subject if case.told_figures else "",
        customer_id=case.customer_id if case.told_figures else "",
        desk=case.task,
    )
    kept: list[Event] = []
    reply: Reply | None = None
    # Without a model first: what is known is there before one has written a word, and stays where
    # none can.
    async with aclosing(suggest_answer(question, deps, history, model=False)) as events:
        async for event in events:
            if event.name == "error":
                yield event
                return
            if event.name in ("evidence", "calculation"):
                yield _known_event(making, event)
            elif event.name == "sentence":
                kept.append(event)
            reply = event.reply or reply
    assert reply is not None
    model_down = False
    if deps.wants_model and (reply.model == "extractive" or reply.status == "not_covered"):
        written: Reply | None = None
        async with aclosing(_sentences(making, question, history)) as events:
            async for event in events:
                if event.name == "error":
                    yield event
                    return
                if event.name != "done":
                    yield event
                written = event.reply or written
        assert written is not None
        model_down = written.model == "extractive"
        reply = written
    else:
        places = [_cite(making, c.clause.id, c.quote) for c in reply.citations]
        if not making.evidence_ms and reply.citations:
            # A tool that needed no search rests on clauses too.
            cited = {c.clause.id: c.clause for c in reply.citations}
            shown_clauses = [{**journal.clause_as_json(c), "text": c.text} for c in cited.values()]
            yield _known_event(making, Event("evidence", {"clauses": shown_clauses}))
        for event in kept:
            for shown in _told(making, event, case.locale, places):
                yield shown
    note = ""
    if not making.replied and making.sentences:
        note = "internal_only"
        # What borrowers may read, if anything does.
        asked = replace(question, desk="")
        async with aclosing(_sentences(making, asked, history, model=False)) as events:
            async for event in events:
                if event.name in ("citation", "sentence"):
                    yield event
    if not making.replied:
        note = note or "nothing_found"
        holding = _table()["suggest"]["holding"][case.locale]
        for told in _say(making, holding, "notice", ()):
            yield told
    elif not note and (model_down or reply.model == "extractive"):
        note = "model_down" if model_down else "no_model"
    async for event in _end(making, reply.status, note, reply, model_down):
        yield event


async def _sentences(
    making: _Making, question: Question, history: Sequence[Said], *, model: bool = True
) -> AsyncGenerator[Event, None]:
    """The sentences of a reply with what they cite, and the end of it."""
    places: list[int] = []
    async with aclosing(suggest_answer(question, making.deps, history, model=model)) as events:
        async for event in events:
            if event.name == "citation":
                places.append(_cite(making, event.data["clause_id"], event.data["quote"]))
            elif event.name == "sentence":
                for shown in _told(making, event, question.locale, places):
                    yield shown
            elif event.name in ("done", "error"):
                yield event


def _known_event(making: _Making, event: Event) -> Event:
    if event.name == "calculation":
        making.calculation_ms = making.calculation_ms or making.elapsed_ms()
        return event
    making.evidence_ms = making.evidence_ms or making.elapsed_ms()
    clauses = [
        {**clause, "internal": making.internal(clause["clause_id"])}
        for clause in event.data["clauses"]
    ]
    return Event("evidence", {"clauses": clauses})


def _cite(making: _Making, clause_id: str, quote: str) -> int:
    """The place of a citation in the suggestion."""
    key = (clause_id, quote)
    if key not in making.citations:
        making.citations.append(key)
    return making.citations.index(key)


def _told(making: _Making, event: Event, locale: Locale, places: Sequence[int]) -> list[Event]:
    """A sentence of the pipeline as the agent sees it; nothing for what only the assistant says.

    places: of the pipeline's citations in the suggestion.
    """
    said: Mapping[str, Any] = event.data
    if said["kind"] == "notice" and _left_out(locale).fullmatch(said["text"]):
        return []
    if any(each["text"] == said["text"] for each in making.sentences):
        return []
    return _say(making, said["text"], said["kind"], [places[each] for each in said["citations"]])


def _say(making: _Making, text: str, kind: str, cited: Sequence[int]) -> list[Event]:
    events: list[Event] = []
    for place in cited:
        clause_id, quote = making.citations[place]
        clause = making.index.by_id[clause_id]
        if not any(place in each["citations"] for each in making.sentences):
            data = {
                "index": place,
                "quote": quote,
                **journal.clause_as_json(clause),
                "text": clause.text,
                "internal": clause.audience == "agent",
            }
            events.append(Event("citation", data))
    internal = any(making.internal(making.citations[place][0]) for place in cited)
    sentence = {
        "index": len(making.sentences),
        "text": text,
        "kind": kind,
        "citations": list(cited),
        "internal": internal,
        **_verdict(making.case, making.deps, text, making.asked, whole=False),
    }
    making.sentences.append(sentence)
    making.first_sentence_ms = making.first_sentence_ms or making.elapsed_ms()
    return [*events, Event("sentence", sentence)]


@lru_cache(maxsize=4)
def _left_out(locale: Locale) -> re.Pattern[str]:
    """Notices of the assistant, whatever stands in their slots."""
    forms = [
        ".*".join(re.escape(part) for part in re.split(r"\{\w+\}", notices()[code][locale]))
        for code in _table()["suggest"]["left_out"]
    ]
    return re.compile("|".join(f"(?:{form})" for form in forms), re.DOTALL)


def _verdict(case: Case, deps: Deps, text: str, asked: str, *, whole: bool) -> dict[str, Any]:
    """What the rules of the task say of a text."""
    context: dict[str, Any] = {"own_platform": True, "identity_verified": case.verified or None}
    if asked:
        context["question"] = asked
    if case.task == "collections":
        context["recipient"] = case.contact.recipient or None if case.contact else None
    found = compliance.review(
        deps.rules,
        text,
        task=case.task,
        channel=case.channel,
        context=read_context(context),
        on=case.today,
        whole=whole,
    )
    return {
        "verdict": found.verdict,
        "findings": compliance.review_as_json(found)["findings"],
    }


async def _end(
    making: _Making,
    status: str,
    note: str = "",
    reply: Reply | None = None,
    model_down: bool = False,
) -> AsyncGenerator[Event, None]:
    """The alternatives and the end; what was suggested is kept before it is said to be done."""
    case, deps = making.case, making.deps
    variants = await asyncio.to_thread(_variants, making)
    yield Event("alternatives", variants)
    told = {
        "status": status,
        "task": case.task,
        "model": reply.model if reply else "",
        "model_down": model_down,
        "release": making.index.release.id,
        "rules_version": deps.rules.version,
        "prompt_version": reply.prompt_version if reply else "",
        "called": reply.called if reply else "",
        "clauses": list(dict.fromkeys(clause_id for clause_id, _ in making.citations)),
        "verdicts": {name: each["verdict"] for name, each in variants.items()},
        "note": note,
    }
    text = json.dumps({name: each["text"] for name, each in variants.items()}, ensure_ascii=False)
    try:
        if making.keep:
            await copilot_store.note(
                deps.trail,
                conversation_id=case.conversation_id,
                handoff_id=case.handoff_id,
                suggestion_id=making.suggestion_id,
                kind="suggested",
                staff_id=making.staff_id,
                text=text,
                told=told,
            )
    except NotKept as error:
        log.error("a suggestion is not kept", trace_id=making.suggestion_id, exc_info=error)
        fault = {"text": notice("fault", case.locale), "trace_id": making.suggestion_id}
        yield Event("error", fault)
        return
    yield Event(
        "done",
        {
            **told,
            "suggestion_id": making.suggestion_id,
            "text": variants["reply"]["text"],
            "note": _table()["suggest"]["note"][note][case.locale] if note else "",
            "note_code": note,
            "timings": {
                "evidence_ms": making.evidence_ms,
                "calculation_ms": making.calculation_ms,
                "first_sentence_ms": making.first_sentence_ms,
                "total_ms": making.elapsed_ms(),
            },
        },
    )


def _variants(making: _Making) -> dict[str, dict[str, Any]]:
    """The reply and its two alternatives, each judged as a whole; one that a rule stands against is
    not offered, and the sentences that pass by themselves take its place where they do."""
    settings, locale = _table()["suggest"], making.case.locale
    said = [each for each in making.replied if each["verdict"] != "block"]
    texts = list(dict.fromkeys(each["text"] for each in said))
    first = {calculated("note", code, locale) for code in settings["first"]}
    # Who has to prove who they are is told that, and no clause that happens to be near.
    alone = bool(texts) and texts[0] in first
    detailed = list(texts)
    sources = _sources(making, said)
    if sources:
        detailed.append(settings["source"][locale].format(sources=sources))
    if texts and not _in_crisis(making.case, making.deps):
        detailed.append(settings["more"][locale])
    return {
        "reply": _form(making, texts, 1 if alone else settings["most"]),
        "short": _form(making, texts, settings["short"]),
        "detailed": _form(making, detailed, len(detailed)),
    }


def _form(making: _Making, texts: Sequence[str], most: int) -> dict[str, Any]:
    """A reply of so many sentences, or of as many as the rules ask for: one about a complaint has
    to say where and by when."""
    judged: dict[str, Any] = {}
    text = ""
    for count in range(min(most, len(texts)), len(texts) + 1):
        made = _joined(texts[:count], making.case.locale)
        found = _verdict(making.case, making.deps, made, making.asked, whole=True)
        if not judged or found["verdict"] in ("pass", "warn"):
            text, judged = made, found
        if judged["verdict"] in ("pass", "warn"):
            break
    return {"text": "" if judged["verdict"] == "block" else text, **judged}


def _joined(parts: Sequence[str], locale: Locale) -> str:
    """Sentences in a row; one that ends in no sign, as of a table, ends its line."""
    text = ""
    for part in parts:
        ended = text[-1:] in _ENDS
        text += ("" if not text else "\n" if not ended else " " if locale == "en" else "") + part
    return text


def _sources(making: _Making, said: Sequence[Mapping[str, Any]]) -> str:
    """Documents and places on which the reply rests, as borrowers know them."""
    named: dict[str, None] = {}
    for each in said:
        for place in each["citations"]:
            clause = making.index.by_id[making.citations[place][0]]
            named[_place(clause, making.case.locale)] = None
    joint: str = _table()["summary"]["joint"][making.case.locale]
    return joint.join(named)


def _place(clause: Clause, locale: Locale) -> str:
    where = clause.locator.split(" > ")[-1]
    title = f"\u300a{clause.head.title}\u300b" if locale != "en" else f"{clause.head.title}, "
    return f"{title}{where}"


# Next steps, scripts, checks ---------------------------------------------------------------------


async def next_actions(case: Case, deps: Deps) -> Mapping[str, Any]:
    """Next steps by data, without a model: `actions` (`id`, `title`, `reason`, `priority`,
    `allowed`, `why_not`, `source`, `script`, `due_at`), `tone`, `verified`."""
    record = await _record(case, deps)
    clauses = await deps.clauses()
    said = _last_said(case)
    situation = Situation(
        said=said,
        classes=set(case.classes) | _classes(deps, said),
        verified=case.verified,
        facts=_facts(record, case, deps, clauses) if record is not None else None,
        task=case.task,
        now=case.now,
        today=case.today,
        locale=case.locale,
        contact=case.contact,
    )
    basis = Basis(deps.front.triage, deps.rules, clauses, _due_days(deps, clauses, case.today))
    return await asyncio.to_thread(propose, situation, basis)


def _due_days(deps: Deps, clauses: Sequence[Clause], on: date) -> dict[str, int]:
    """Time limits by name: those that clauses state, and those of the rules' settings."""
    limits = {
        name: int(value)
        for name, value in deps.rules.settings.items()
        if name.endswith("_days") and isinstance(value, Decimal) and value == int(value)
    }
    return limits | {name: int(v) for name, v in _clause_values(clauses, on).items()}


def _clause_values(clauses: Sequence[Clause], on: date) -> dict[str, str]:
    """Values that clauses in force state, by the patterns of copilot.toml."""
    found: dict[str, str] = {}
    for name, row in _table()["values"].items():
        for clause in clauses:
            if clause.source.endswith(row["source"]) and clause.in_force(on):
                match = re.search(row["pattern"], clause.text)
                if match and clause.audience == "borrower":
                    found.setdefault(name, match.group(1))
    return found


async def scripts(case: Case, deps: Deps, agent: str = "") -> list[dict[str, Any]]:
    """Scripts of the task, filled from record and data, each checked by the rules before it is
    shown: one that a rule blocks comes without its text. Raises scripts.ScriptsError."""
    held = load_scripts(scripts_file(deps.settings.lender))
    record = await _record(case, deps) if case.told_figures else None
    clauses = await deps.clauses()
    hotline, hours = stated_contact(deps.lender, clauses, case.today)
    values = {
        "lender": deps.lender.short_name,
        "agent": agent,
        "today": case.today.isoformat(),
        "hotline": hotline,
        "hours": hours,
        **{name: str(days) for name, days in _due_days(deps, clauses, case.today).items()},
        **(_facts(record, case, deps, clauses).shown if record is not None else {}),
    }
    said = _last_said(case)
    chosen = [script for script in held if case.task in script.tasks]
    return await asyncio.to_thread(
        lambda: [_script_as_json(case, deps, s, values, said[-1] if said else "") for s in chosen]
    )


def _script_as_json(
    case: Case, deps: Deps, script: Script, values: Mapping[str, str], asked: str
) -> dict[str, Any]:
    filled = fill(script, case.locale, values)
    row: dict[str, Any] = {
        "id": script.id,
        "title": script.title[case.locale],
        "use": script.use[case.locale],
        "macro": script.macro,
        "tasks": sorted(script.tasks),
        "text": filled.text,
        "missing": list(filled.missing),
        "verdict": "",
        "findings": [],
    }
    if filled.text:
        judged = _verdict(case, deps, filled.text, asked, whole=True)
        row |= {**judged, "text": "" if judged["verdict"] == "block" else filled.text}
    return row


def holds_card(text: str) -> bool:
    """Whether a text holds a full card number."""
    return any(span.type == "card" for span in privacy.mask(text, privacy.NUMBERS).spans)


def refuse_card(text: str) -> None:
    """Raises CardNumber."""
    if holds_card(text):
        raise CardNumber


async def check_draft(case: Case, deps: Deps, text: str) -> Mapping[str, Any]:
    """An agent's words by the rules of the case's task: as `with_internal`. Raises CardNumber
    where they hold a full card number."""
    refuse_card(text)
    said = _last_said(case)
    context: dict[str, Any] = {"own_platform": True}
    if said:
        context["question"] = said[-1]
    if case.contact is not None:
        context |= {
            "recipient": case.contact.recipient or None,
            "calls_today": case.contact.calls_today,
            "at": case.now.isoformat(),
        }
    found = await asyncio.to_thread(
        lambda: compliance.review(
            deps.rules,
            text,
            task=case.task,
            channel=case.channel,
            context=read_context(context),
            on=case.today,
        )
    )
    return await with_internal(compliance.review_as_json(found), deps, text)


async def with_internal(review: Mapping[str, Any], deps: Deps, text: str) -> Mapping[str, Any]:
    """A review as compliance.review_as_json, blocked where the text tells what agents alone may
    read: the lender's own rule, and no law's."""
    material = await deps.agents_material()
    spans = await asyncio.to_thread(material.told, text)
    if not spans:
        return review
    words = _table()["internal"]
    told = [
        {
            "rule": INTERNAL,
            "title": words["title"]["zh-Hans"],
            "title_en": words["title"]["en"],
            "severity": "block",
            "span": [start, end],
            "text": text[start:end],
            "source": None,
            "anchor": "policy",
            "suggestion": words["suggestion"]["zh-Hans"],
            "suggestion_en": words["suggestion"]["en"],
            "like": "",
            "channels": [],
        }
        for start, end in spans
    ]
    return {**review, "verdict": "block", "findings": [*told, *review["findings"]]}


# The card ----------------------------------------------------------------------------------------


async def card(case: Case, deps: Deps, roles: frozenset[str]) -> dict[str, Any]:
    """The customer, masked by role: who is no supervisor sees no full name, number or birthday."""
    words = _table()["card"]
    empty = {"verified": case.verified, "note": ""}
    if not case.verified:
        return {**empty, "note": words["anonymous"][case.locale]}
    try:
        profile = (
            await deps.customers.profile(case.customer_id) if deps.customers is not None else None
        )
    except CustomerFault:
        return {**empty, "note": words["unavailable"][case.locale]}
    if profile is None:
        return {**empty, "note": words["unknown"][case.locale]}
    record = await _record(case, deps)
    if record is None:
        return {**empty, "note": words["unavailable"][case.locale]}
    contacts = await copilot_store.last_contacts(deps.engine, case.subject, MOST_CONTACTS)
    wording = {} if deps.desk is None else {r.id: r.wording for r in deps.desk.reasons.values()}
    clauses = await deps.clauses()
    return {
        **empty,
        **_who(profile, full=bool(roles & SUPERVISORS)),
        "loans": [_loan_line(case, deps, clauses, loan) for loan in record.loans],
        "coupons": [
            _coupon_line(case, deps.lender, coupon)
            for coupon in record.coupons
            if coupon.state == "unused" and coupon.valid_to >= case.today
        ],
        "contacts": [
            {"at": at, "what": wording.get(what, {}).get(case.locale, what)}
            for at, what in contacts
        ],
    }


def _who(profile: Customer, *, full: bool) -> dict[str, Any]:
    phone = profile.phone
    return {
        "name": profile.name if full else masked_name(profile.name),
        "phone": phone if full else f"{phone[:3]}****{phone[-4:]}",
        "birth": profile.birth_date.isoformat() if full else f"{profile.birth_date.year}-**-**",
        "customer_id": profile.id if full else masked_id(profile.id),
        "since": profile.since,
        "student": profile.student,
    }


def _loan_line(case: Case, deps: Deps, clauses: Sequence[Clause], loan: Loan) -> dict[str, Any]:
    show = tools.show
    ahead = next((i for i in loan.unpaid() if i.due_on >= case.today), None)
    return {
        "product": _product(deps.lender, loan.product),
        "contract_date": loan.contract_date,
        "principal": show("principal_cny", loan.principal_cny, case.locale),
        "outstanding": show("outstanding_cny", loan.outstanding_cny, case.locale),
        "annual_rate": show("annual_rate", loan.annual_rate, case.locale),
        "state": loan.state,
        "next_due_on": ahead and ahead.due_on,
        "next_due": show("due_cny", loan.due_cny(ahead), case.locale) if ahead else "",
        "overdue_days": loan.days_overdue(case.today),
        "arrears": _owed_words(loan, case, deps, clauses),
    }


def _coupon_line(case: Case, lender: Lender, coupon: Coupon) -> dict[str, Any]:
    values = (
        ("amount_cny", coupon.amount_cny),
        ("discount", coupon.discount),
        ("free_days", coupon.free_days),
    )
    value = next((tools.show(name, v, case.locale) for name, v in values if v is not None), "")
    return {
        "kind": coupon.kind,
        "product": _product(lender, coupon.product),
        "value": value,
        "valid_to": coupon.valid_to,
    }


# Closing -----------------------------------------------------------------------------------------


async def wrap_up(case: Case, deps: Deps, *, model: bool = False) -> dict[str, Any]:
    """How the conversation could be closed: `summary`, `reason`, `reasons`, `promises`, `flags`,
    `next_contact`, `model`. model: whether one may write the summary; else it is put together."""
    words = load_words()
    found = await asyncio.to_thread(promises, words, case.turns, case.today)
    told = await summary(case, deps, model=model, found=found)
    classes = _all_classes(case, deps)
    return {
        "summary": told["summary"],
        "reason": told["reason"],
        "reasons": {reason.id: dict(reason.wording) for reason in words.reasons},
        "promises": [_promise_as_json(each) for each in found],
        "flags": {flag: flag in classes for flag in FLAGS},
        "next_contact": _next_contact(case, deps, found),
        "model": told["model"],
    }


def _all_classes(case: Case, deps: Deps) -> set[str]:
    said = [turn.text for turn in case.turns if turn.speaker == "borrower"]
    return set(case.classes) | _classes(deps, said)


def _promise_as_json(promise: Promise) -> dict[str, Any]:
    amount = promise.amount_cny
    return {
        "by": promise.by,
        "kind": promise.kind,
        "text": promise.text,
        "due_on": promise.due_on and promise.due_on.isoformat(),
        "amount_cny": "" if amount is None else f"{amount:.2f}",
        "turn": promise.turn,
    }


def _next_contact(case: Case, deps: Deps, found: Sequence[Promise]) -> dict[str, Any]:
    """When somebody asked to be spoken to again; a time at which collectors may not is moved to the
    first at which they may."""
    wish = next_contact(load_words(), case.turns, case.now)
    if wish is None:
        called = [p for p in found if p.kind == "call_back" and p.due_on]
        if not called:
            return {"at": None, "on": None, "why": "", "moved": ""}
        last = called[-1]
        return {
            "at": None,
            "on": last.due_on and last.due_on.isoformat(),
            "why": last.text,
            "moved": "",
        }
    why = case.turns[wish.turn].text[:_SHORT_CHARS]
    if wish.at is None:
        return {"at": None, "on": wish.day.isoformat(), "why": why, "moved": ""}
    asked = datetime.combine(wish.day, wish.at, ZONE)
    at, moved = asked, ""
    if case.task == "collections":
        at = permitted_from(deps.rules, asked)
        if at != asked:
            form = "%Y-%m-%d %H:%M"
            moved = _table()["summary"]["hours"][case.locale].format(
                asked=asked.strftime(form), time=at.astimezone(ZONE).strftime(form)
            )
    return {"at": at.isoformat(), "on": at.date().isoformat(), "why": why, "moved": moved}


async def summary(
    case: Case, deps: Deps, *, model: bool = False, found: Sequence[Promise] | None = None
) -> dict[str, Any]:
    """What was said so far: `summary`, `reason`, `figures`, `turns`, `model`. A model's summary
    stands only where each of its figures was said; else it is put together, and `model` is empty.
    """
    words = load_words()
    made = promises(words, case.turns, case.today) if found is None else list(found)
    reason = reason_of(words, case.turns, _all_classes(case, deps))
    told = _figures_told(case)
    text, by = "", ""
    if model and deps.wants_model and case.turns:
        text, by = await _written_summary(case, deps)
    if not text:
        wording = next(r.wording for r in words.reasons if r.id == reason)[case.locale]
        text, by = _put_together(case, wording, told, made), ""
    return {
        "summary": text,
        "reason": reason,
        "figures": told,
        "turns": len(case.turns),
        "model": by,
    }


def _figures_told(case: Case) -> list[str]:
    said = [turn.text for turn in case.turns if turn.speaker in ("agent", "assistant")]
    kinds = {"money", "rate", "date"}
    named = [f.text for text in said for f in figures.find(text) if f.kind in kinds]
    return list(dict.fromkeys(named))[-6:]


def _put_together(case: Case, reason: str, told: Sequence[str], made: Sequence[Promise]) -> str:
    words, locale = _table()["summary"], case.locale
    by: dict[str, list[str]] = {"borrower": [], "agent": [], "assistant": []}
    for turn in case.turns:
        if turn.speaker in by and turn.text.strip():
            by[turn.speaker].append(_short(turn.text))
    least = _table()["suggest"]["least_letters"]
    asked = [text for text in by["borrower"] if sum(c.isalnum() for c in text) >= least]
    lines = [words["reason"][locale].format(reason=reason)]
    lines += [words["asked"][locale].format(text=text) for text in asked[-2:]]
    if by["agent"]:
        lines.append(words["told"][locale].format(text=by["agent"][-1]))
    elif by["assistant"]:
        lines.append(words["answered"][locale].format(text=by["assistant"][-1]))
    if told:
        lines.append(words["figures"][locale].format(figures=words["joint"][locale].join(told)))
    if made:
        said = [_promise_words(p) for p in made]
        lines.append(words["promised"][locale].format(promises=words["joint"][locale].join(said)))
    return "\n".join(lines)


def _promise_words(promise: Promise) -> str:
    day = f"{promise.due_on.isoformat()} " if promise.due_on else ""
    return f"{day}{_short(promise.text)}".rstrip("\u3002.")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHORT_CHARS else f"{line[:_SHORT_CHARS]}\u2026"


async def _written_summary(case: Case, deps: Deps) -> tuple[str, str]:
    """A model's summary and its name; nothing where none can write it, or it says a figure that
    nobody said."""
    lines = [f"{turn.speaker}: {privacy.mask(turn.text).text}" for turn in case.turns[-40:]]
    system = render("zh/summary_system", language=notice("language_name", case.locale))
    ask = render("zh/summary", lines=lines)
    try:
        model = await deps.chat_model()
        if model.way != "draft":
            return "", ""
        done = await model.complete(
            [Message("system", system.text), Message("user", ask.text)],
            max_tokens=SUMMARY_TOKENS,
        )
    except ModelError as error:
        log.warning("no summary from the model", error=str(error))
        return "", ""
    text = done.text.strip()[:MOST_SUMMARY_CHARS]
    said = {f for line in lines for f in figures.find(line)}
    known = {(f.kind, f.value) for f in said}
    invented = [f for f in figures.find(text) if (f.kind, f.value) not in known]
    if not text or invented:
        return "", ""
    return privacy.mask(text).text, done.model


async def keep_wrap_up(
    case: Case, deps: Deps, made: Mapping[str, Any], *, staff_id: str
) -> tuple[str, list[str]]:
    """Keep a wrap-up as the agent left it, its promises as tasks; ids of event and tasks. Raises
    CardNumber, copilot_store.NotKept."""
    texts = [made["summary"], *(each["text"] for each in made["promises"])]
    for text in texts:
        refuse_card(text)
    promised = [
        Promised(
            by=each["by"],
            kind=each["kind"],
            text=each["text"],
            due_on=date.fromisoformat(each["due_on"]) if each["due_on"] else None,
            amount_cny=each.get("amount_cny", ""),
        )
        for each in made["promises"]
    ]
    told = {
        "reason": made["reason"],
        "flags": dict(made["flags"]),
        "promises": len(promised),
        "next_contact": made["next_contact"].get("at") or made["next_contact"].get("on"),
        "model": made.get("model", ""),
    }
    text = json.dumps(
        {
            "summary": made["summary"],
            "promises": [dict(each) for each in made["promises"]],
            "next_contact": dict(made["next_contact"]),
        },
        ensure_ascii=False,
        default=str,
    )
    return await copilot_store.note(
        deps.trail,
        conversation_id=case.conversation_id,
        handoff_id=case.handoff_id,
        kind="wrap_up",
        staff_id=staff_id,
        text=text,
        told=told,
        promised=promised,
    )
