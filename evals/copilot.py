"""What the copilot suggests beside an agent, and how it wraps up: without a model.

A case is a conversation and what has to come of it. Customers are those of the demo, as of the day
of the case; who a case is about is given beside the conversation, as a verified identity is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from assistant import copilot
from assistant.copilot import Case
from assistant.customers import MemoryCustomers
from assistant.demo_customers import demo_people, typical
from assistant.deps import Deps
from assistant.identity import subject_of
from assistant.models import Locale
from assistant.next_steps import Contact, Recipient
from assistant.rules import Channel
from assistant.transcripts import Speaker, Turn
from assistant.wrap_up import ZONE
from knowledge.text import fold

from .metrics import Check
from .records import CaseRecord, SuiteInfo
from .results import SuiteResult, failures_of, shares
from .schema import BadCases, Text, hash_of, load_rows

VERSIONS: Mapping[str, int] = {
    "suggested": 1,
    "unsaid": 1,
    "grounded": 1,
    "tool": 1,
    "steps": 1,
    "contact_allowed": 1,
    "promises": 1,
    "reason_code": 1,
    "flags": 1,
    "next_contact": 1,
}
"""Metric -> version of its definition. suggested: the reply has the words it must have. unsaid:
and none that it must not, and nothing of agents' own material. grounded: no rule blocks any of it,
none asks for another wording of what is no quote, and each quote stands in its clause. tool: the
calculation that had to be made was, or none. steps: next steps that must be proposed are, and those
that must not are not. contact_allowed: whether the rules let a contact be made, and from when.
promises: each with its side, kind, day and amount, and no other. reason_code, flags, next_contact:
as they have to be."""

CRITICAL = ("unsaid", "grounded", "contact_allowed")


class CaseExpected(BaseModel):
    """What has to come of a conversation; what is not said is not looked at."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    has: tuple[Text, ...] = ()
    """In the suggested reply or its detailed form."""
    has_not: tuple[Text, ...] = ()
    """In no form of the reply."""
    tool: str | None = None
    """Of the calculation; empty: none is made."""
    steps: tuple[str, ...] = ()
    no_steps: tuple[str, ...] = ()
    contact: bool | None = None
    contact_from: AwareDatetime | None = None
    note: str | None = None
    """Code of what the agent is told about the suggestion."""
    promises: tuple[tuple[Literal["borrower", "agent"], str, date | None, str], ...] | None = None
    """(side, kind, day, amount in yuan or empty) of each, in the order in which they are said."""
    reason: str | None = None
    flags: tuple[str, ...] | None = None
    next_contact: str | None = None
    """An instant, a day, or empty: none."""


class CopilotCase(BaseModel):
    """One conversation at a desk."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    about: Text
    turns: tuple[tuple[Speaker, Text], ...]
    who: str = ""
    """State of the demo's customer who proved who they are; empty: nobody did."""
    task: Literal["agent", "collections"] = "agent"
    locale: Locale = "zh-Hans"
    classes: tuple[str, ...] = ()
    at: AwareDatetime | None = None
    channel: Channel = "chat"
    contact: Channel | None = None
    calls_today: int | None = None
    recipient: Recipient = "borrower"
    topic: Text
    difficulty: Literal["easy", "medium", "hard"]
    source: Text
    expect: CaseExpected

    @property
    def text(self) -> str:
        return "\n".join(f"{speaker}: {text}" for speaker, text in self.turns)

    @property
    def expected(self) -> str:
        return self.expect.model_dump_json(exclude_defaults=True)


@dataclass(frozen=True, slots=True)
class CopilotSuite:
    """Conversations beside which the copilot suggests, without a model."""

    name: str
    file: Path
    about: str
    today: date
    bars: Mapping[str, float]

    def cases(self) -> list[CopilotCase]:
        """Raises BadCases."""
        return load_rows(self.file, CopilotCase)


async def suggest_all(suite: CopilotSuite, deps: Deps, limit: int | None = None) -> SuiteResult:
    """Raises BadCases, and what opening the live release raises."""
    cases = suite.cases()[:limit]
    people = {str(person.state): person.record for person in typical(demo_people(suite.today))}
    source = MemoryCustomers(people.values())
    quoting = replace(deps.without_model(), customers=source)
    records = []
    for case in cases:
        if case.who and case.who not in people:
            raise BadCases(f"{suite.file.name}: {case.id}: nobody is {case.who!r}")
        customer_id = people[case.who].customer.id if case.who else ""
        records.append(await record_of(suite, case, quoting, customer_id))
    found = shares(records)
    return SuiteResult(
        name=suite.name,
        n=len(cases),
        scored=len(cases),
        metrics=found,
        bars=suite.bars,
        missed=tuple(n for n, bar in suite.bars.items() if n in found and found[n].value < bar),
        failures=failures_of(records),
        models=(),
        records=tuple(records),
        info=SuiteInfo(suite.name, hash_of(cases), dict(VERSIONS)),
    )


@dataclass(frozen=True, slots=True)
class _Made:
    """What came of a case."""

    sentences: Sequence[Mapping[str, Any]]
    citations: Mapping[int, Mapping[str, Any]]
    tools: Sequence[str]
    alternatives: Mapping[str, Mapping[str, Any]]
    steps: Mapping[str, Mapping[str, Any]]
    note: str
    fault: str
    wrap_up: Mapping[str, Any]


async def record_of(
    suite: CopilotSuite, case: CopilotCase, deps: Deps, customer_id: str
) -> CaseRecord:
    started = perf_counter()
    made = await _made(_case(suite, case, deps, customer_id), deps)
    taken = perf_counter() - started
    checks = {} if made.fault else _checks(case.expect, made)
    reply = made.alternatives.get("reply", {}).get("text", "")
    return CaseRecord(
        suite=suite.name,
        case=case.id,
        seed=0,
        topic=case.topic,
        difficulty=case.difficulty,
        text=case.text,
        expected=case.expected,
        said=reply,
        cited=tuple(f"{c['source']} {c['locator']}" for c in made.citations.values()),
        checks=checks,
        critical=tuple(name for name in CRITICAL if name in checks and not checks[name].passed),
        fault=made.fault,
        latency_ms=round(taken * 1000, 1),
    )


def _case(suite: CopilotSuite, case: CopilotCase, deps: Deps, customer_id: str) -> Case:
    day = datetime(suite.today.year, suite.today.month, suite.today.day, 10, tzinfo=ZONE)
    contact = case.contact and Contact(case.contact, case.recipient, case.calls_today)
    return copilot.case_of_turns(
        f"case:{case.id}",
        [Turn(speaker, text) for speaker, text in case.turns],
        now=case.at or day,
        locale=case.locale,
        task=case.task,
        channel=case.channel,
        classes=case.classes,
        contact=contact,
        customer_id=customer_id,
        subject=subject_of(deps.keys, customer_id) if customer_id else "",
    )


async def _made(case: Case, deps: Deps) -> _Made:
    sentences: list[Mapping[str, Any]] = []
    citations: dict[int, Mapping[str, Any]] = {}
    tools: list[str] = []
    alternatives: Mapping[str, Mapping[str, Any]] = {}
    steps: dict[str, Mapping[str, Any]] = {}
    note = fault = ""
    async for event in copilot.suggest(case, deps, keep=False):
        data = event.data
        match event.name:
            case "sentence":
                sentences.append(data)
            case "citation":
                citations[data["index"]] = data
            case "calculation":
                tools.append(data["tool"])
            case "alternatives":
                alternatives = data
            case "next":
                steps = {each["id"]: each for each in data["actions"]}
            case "done":
                note = data["note_code"]
            case "error":
                fault = data["trace_id"]
            case _:
                pass
    wrapped = await copilot.wrap_up(case, deps)
    return _Made(sentences, citations, tools, alternatives, steps, note, fault, wrapped)


def _checks(expect: CaseExpected, made: _Made) -> dict[str, Check]:
    said = "\n".join(each["text"] for each in made.alternatives.values())
    seen = fold(said)
    checks: dict[str, Check] = {}

    def check(name: str, passed: bool, expected: object, found: object) -> None:
        checks[name] = Check(passed, str(expected), str(found))

    if expect.has:
        check("suggested", all(fold(w) in seen for w in expect.has), expect.has, said)
    inner = [each["text"] for each in made.sentences if each["internal"]]
    leaked = [text for text in inner if fold(text) in seen]
    wrong = [words for words in expect.has_not if fold(words) in seen]
    check("unsaid", not leaked and not wrong, expect.has_not, [*leaked, *wrong])
    check("grounded", *_grounded(made))
    if expect.tool is not None:
        check(
            "tool",
            made.tools[:1] == ([expect.tool] if expect.tool else []),
            expect.tool,
            made.tools,
        )
    if expect.steps or expect.no_steps:
        fits = made.steps.keys() >= set(expect.steps)
        fits = fits and not made.steps.keys() & set(expect.no_steps)
        check("steps", fits, (expect.steps, expect.no_steps), [*made.steps])
    if expect.note is not None:
        check(
            "suggested",
            made.note == expect.note and checks.get("suggested", Check(True, "", "")).passed,
            expect.note,
            made.note,
        )
    if expect.contact is not None:
        step = made.steps.get("contact", {})
        allowed = step.get("allowed")
        wanted = expect.contact_from
        at = step.get("due_at")
        fits = allowed is expect.contact and (
            wanted is None or (at is not None and datetime.fromisoformat(at) == wanted)
        )
        check("contact_allowed", fits, (expect.contact, wanted), (allowed, step.get("why_not"), at))
    wrapped = made.wrap_up
    if expect.promises is not None:
        told = tuple(
            (
                p["by"],
                p["kind"],
                date.fromisoformat(p["due_on"]) if p["due_on"] else None,
                p["amount_cny"],
            )
            for p in wrapped["promises"]
        )
        check("promises", told == expect.promises, expect.promises, told)
    if expect.reason is not None:
        check("reason_code", wrapped["reason"] == expect.reason, expect.reason, wrapped["reason"])
    if expect.flags is not None:
        flags = tuple(sorted(name for name, on in wrapped["flags"].items() if on))
        check("flags", flags == tuple(sorted(expect.flags)), expect.flags, flags)
    if expect.next_contact is not None:
        at = wrapped["next_contact"]["at"] or wrapped["next_contact"]["on"] or ""
        check("next_contact", at == expect.next_contact, expect.next_contact, at)
    return checks


def _grounded(made: _Made) -> tuple[bool, str, str]:
    """Whether all that the borrower would be sent passed the rules and rests on its clause."""
    faults: list[str] = []
    for each in made.sentences:
        # A clause in force says what it says; that a rule would word it otherwise is shown beside.
        bad = ("block",) if each["kind"] == "quote" else ("fix", "block")
        if not each["internal"] and each["verdict"] in bad:
            faults.append(each["text"])
        if each["kind"] != "quote":
            continue
        quotes = [made.citations[place] for place in each["citations"] if place in made.citations]
        if not any(each["text"] in c["text"] or each["text"] == c["quote"] for c in quotes):
            faults.append(each["text"])
    faults += [name for name, form in made.alternatives.items() if form["verdict"] == "block"]
    return not faults, "passed, and in its clause", "; ".join(faults)
