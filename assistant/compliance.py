"""The compliance rules applied to a text: chat replies, agents' messages, collections, adverts.

`review` is one function for all of them. The rules are data (rules.py reads them); what is measured
and computed is in rule_checks.py; how disguised wording is recognised is in matching.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from decimal import Decimal
from functools import cached_property
from itertools import islice
from threading import Lock
from typing import Any, Literal, get_args
from zoneinfo import ZoneInfo

from .matching import Folded, Pattern, Prefilter, clause_end, clause_start, heading
from .rule_checks import CHECK_FUNCTIONS, Message, Span, measured
from .rules import (
    CHECKS,
    CONTEXT_DEFAULTS,
    CONTEXT_SETTINGS,
    HELD,
    REACH,
    Channel,
    ContextCondition,
    ContextError,
    Example,
    FigureCondition,
    Rule,
    RulePack,
    SettingValue,
    Severity,
    Task,
    Trigger,
    read_context,
)

Verdict = Literal["pass", "warn", "fix", "block"]

RANK: Mapping[Verdict, int] = {"pass": 0, "warn": 1, "fix": 2, "block": 3}
STOPS: frozenset[Verdict] = frozenset({"fix", "block"})
"""Verdicts with which a text must not go out as it is."""

SEGMENT = 4000
"""Characters that are searched at once; longer texts are cut, at sentences where there are any."""
OVERLAP = 200
"""Characters that two segments of one sentence share; patterns longer than that may be missed."""
BESIDE = 400
"""Farthest that a sentence is followed to either side of a match."""
PHRASE = 30
"""Farthest that a phrase which contains a match may begin before it or end after it."""
MOST_FINDINGS = 50
"""Findings of one rule in one text that are told apart; further ones change nothing."""
_MOST_MATCHES = 4 * MOST_FINDINGS
"""Matches of one trigger that are looked for: several may be one finding."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Where a text breaks a rule."""

    rule: Rule
    severity: Severity
    span: Span
    """In the text as given; all of it where what is wrong is that something is missing."""
    text: str
    like: str = ""
    """The example that it resembles in meaning, where that is all that speaks against it."""
    channels: frozenset[Channel] = frozenset()
    """On which alone it is one, where the text was judged for any; empty: on all of the rule."""


@dataclass(frozen=True, slots=True)
class Unchecked:
    """A rule that could not be judged for want of context."""

    rule: Rule
    needs: tuple[str, ...]
    """Context keys that were not said."""


@dataclass(frozen=True, slots=True)
class Review:
    """What the rules say of a text."""

    verdict: Verdict
    """The worst of the findings; what is unchecked does not count."""
    findings: tuple[Finding, ...]
    """By place, then the worst first."""
    unchecked: tuple[Unchecked, ...]
    rules_version: str
    cut: tuple[str, ...] = ()
    """Ids of the rules of which only the first findings are told."""


def review(
    pack: RulePack,
    text: str,
    *,
    task: Task,
    channel: Channel | None = None,
    context: Mapping[str, Any],
    on: date,
    whole: bool = True,
) -> Review:
    """Judge a text, as it is read, by the rules in force on a day.

    context: from `rules.read_context`.
    channel: None is taken as any, so that every rule of the task applies.
    whole: False judges one sentence of a message that is still being written: what can only be
    seen of a finished message (required elements, what else stands in it, context alone) is left
    out. A gate calls it so for each sentence before it is released, and once more with True for
    the message when it is complete.

    Of mark-up, what is not read (where a link leads) is judged as it is written.
    """
    shown = pack.folding.shown(text)
    if shown is None:
        return _read(pack, text, task, channel, context, on, whole)
    read = _read(pack, shown.text, task, channel, context, on, whole)
    found = [_found_in(text, shown, finding) for finding in read.findings]
    unchecked, cut = [*read.unchecked], [*read.cut]
    if "<" in text:
        written = _judged(pack, text, task, channel, context, on, whole)
        for finding in written.findings:
            first, last = shown.place(finding.span)
            if first == last:
                found.append(finding)
        known = {one.rule.id for one in unchecked}
        unchecked += (one for one in written.unchecked if one.rule.id not in known)
        cut += (rule_id for rule_id in written.cut if rule_id not in cut)
    return _review(pack, found, tuple(unchecked), tuple(cut))


def _found_in(text: str, shown: Folded, finding: Finding) -> Finding:
    """A finding of what is shown, in the text as it is written."""
    whole = finding.span == (0, len(shown.text))
    span = (0, len(text)) if whole else shown.origin(*finding.span)
    return replace(finding, span=span, text=text[slice(*span)])


def _read(
    pack: RulePack,
    text: str,
    task: Task,
    channel: Channel | None,
    context: Mapping[str, Any],
    on: date,
    whole: bool,
) -> Review:
    """Judge a text without mark-up.

    A line break parts no word: the text is judged once more with spaces in place of them, which
    the foldings take for what they are inside Chinese. Of that only findings that go over a break
    are added. So, too, where a part is shown from right to left: it is judged as it is shown.
    """
    found = _judged(pack, text, task, channel, context, on, whole)
    known: dict[str, list[Span]] = {}
    for finding in found.findings:
        known.setdefault(finding.rule.id, []).append(finding.span)
    more: list[Finding] = []
    cut = dict.fromkeys(found.cut)
    for other, places in _other_readings(text):
        read = _judged(pack, other, task, channel, context, on, whole)
        cut.update(dict.fromkeys(read.cut))
        for finding in read.findings:
            there = places[slice(*finding.span)]
            span = min(there, default=0), max(there, default=-1) + 1
            seen = text[slice(*span)]
            if seen != finding.text and not any(
                _overlap(span, one) for one in known.get(finding.rule.id, ())
            ):
                more.append(replace(finding, span=span, text=seen))
    if not more:
        return found
    return _review(pack, [*found.findings, *more], found.unchecked, tuple(cut))


def _other_readings(text: str) -> Iterator[tuple[str, Sequence[int]]]:
    """What else a text may be read as, and where each of its characters stands in the text."""
    if _BREAK.search(text):
        yield _BREAK.sub(" ", text), range(len(text))
    if "\u202e" in text:
        places = list(range(len(text)))
        for turned in _TURNED.finditer(text):
            places[slice(*turned.span())] = reversed(range(*turned.span()))
        yield "".join(map(text.__getitem__, places)), places


_BREAK = re.compile("[\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029]")
_TURNED = re.compile("(?<=\u202e)[^\n\r\u2029\u202c]+")
"""What is shown from right to left whatever it is."""


def _overlap(one: Span, other: Span) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def _judged(
    pack: RulePack,
    text: str,
    task: Task,
    channel: Channel | None,
    context: Mapping[str, Any],
    on: date,
    whole: bool,
) -> Review:
    message = Message(text, context, pack.folding, pack.settings)
    by_others = {of: Message(text, context, pack.folding, s) for of, s in pack.others.items()}
    plan = _plan(pack, task, channel, frozenset(context), on, whole)
    searches = {evasion: _Search(pack, task, message, evasion) for evasion in (True, False)}
    findings: dict[str, list[_Place]] = {}
    unchecked: dict[str, dict[str, None]] = {}
    rules: dict[str, Rule] = {}
    cut: list[str] = []
    first = message
    for rule, trigger, needs in plan.awake(searches):
        message = by_others.get(rule.jurisdiction, first) if by_others else first
        # Where there would be nothing to tell, the text need not be searched.
        bound = trigger.context or trigger.unless_context
        if bound and not needs and not _context_holds(trigger, message):
            continue
        # What is told already needs no further search.
        if needs and unchecked.get(rule.id, {}).keys() >= set(needs):
            continue
        search = searches[trigger.evasion]
        # That it holds is all there is to know of one that is not judged for want of context.
        spans = _text_conditions(trigger, search, message, 1 if needs else _MOST_MATCHES)
        if spans is None:
            continue
        if needs:
            # What is not there for lack of these words would not be there with more context.
            if trigger.only_with and not any(map(search.holds, trigger.only_with)):
                continue
            rules[rule.id] = rule
            unchecked.setdefault(rule.id, {}).update(dict.fromkeys(needs))
            continue
        if trigger.question and not any(
            p.within(message.asked.bare.text) for p in trigger.question
        ):
            continue
        if any(p.within(message.asked.bare.text) for p in trigger.unless_question):
            continue
        if trigger.check:
            checked = list(CHECK_FUNCTIONS[trigger.check](message))
            checked = [s for s in checked if not _excused(trigger, search, search.folded.place(s))]
            if not checked:
                continue
            spans = checked
        rules[rule.id] = rule
        severity = trigger.severity or rule.severity
        channels = trigger.channels if channel is None else frozenset()
        findings.setdefault(rule.id, []).extend(
            (span, severity, channels) for span in spans or [(0, len(text))]
        )
    found = []
    for rule_id, places in findings.items():
        merged = _merged(places)
        if len(merged) > MOST_FINDINGS:
            cut.append(rule_id)
        found += [
            Finding(rules[rule_id], severity, span, text[slice(*span)], channels=channels)
            for span, severity, channels in _worst(merged)
        ]
    return _review(
        pack,
        found,
        tuple(Unchecked(rules[rule_id], tuple(keys)) for rule_id, keys in unchecked.items()),
        tuple(cut),
    )


def _review(
    pack: RulePack,
    found: Iterable[Finding],
    unchecked: tuple[Unchecked, ...],
    cut: tuple[str, ...],
) -> Review:
    ordered = sorted(found, key=lambda f: (f.span[0], -RANK[f.severity], f.span[1], f.rule.id))
    verdicts: list[Verdict] = ["pass", *(finding.severity for finding in ordered)]
    verdict = max(verdicts, key=RANK.__getitem__)
    return Review(verdict, tuple(ordered), unchecked, pack.version, cut)


class BadMessage(Exception):
    """A message to check is not what it should be; the text names the field."""


_ROW_KEYS = ("id", "text", "task", "channel", "context", "on")


@dataclass(frozen=True, slots=True)
class Given:
    """A text to check, read and found to be well formed."""

    text: str
    task: Task
    channel: Channel | None
    context: Mapping[str, Any]
    on: date


def read_message(pack: RulePack, row: Mapping[str, Any], *, on: date | None, today: date) -> Given:
    """Read {"id"?,"text","task","channel"?,"context"?,"on"?} as it comes from a file or a request.

    on: the day whose rules apply; else the row's own, else that of context `at`, else `today`.
    Raises BadMessage.
    """
    for key in row:
        if key not in _ROW_KEYS:
            raise BadMessage(f"{key}: no such field; known are {', '.join(_ROW_KEYS)}")
    text, channel = row.get("text"), row.get("channel") or None
    task = next((known for known in get_args(Task) if known == row.get("task")), None)
    if not isinstance(text, str):
        raise BadMessage("text: expected a text")
    # Half of a surrogate pair cannot be sent back; a character takes its place.
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if task is None:
        expected = ", ".join(get_args(Task))
        raise BadMessage(f"task: expected one of {expected}, not {row.get('task')!r}")
    if channel is not None and channel not in get_args(Channel):
        expected = ", ".join(get_args(Channel))
        raise BadMessage(f"channel: expected one of {expected}, not {channel!r}")
    try:
        said = row.get("context")
        context = read_context({} if said is None else said, pack.context_keys)
        own_day = row.get("on")
        day = on or (date.fromisoformat(str(own_day)) if own_day else None)
    except ContextError as error:
        raise BadMessage(str(error)) from None
    except ValueError:
        raise BadMessage(f"on: expected a day as YYYY-MM-DD, not {row['on']!r}") from None
    at = context.get("at")
    if day is None and at is not None:
        day = at.astimezone(ZoneInfo(str(pack.settings["timezone"]))).date()
    return Given(text, task, channel, context, day or today)


def review_given(pack: RulePack, given: Given) -> Review:
    """Judge a finished message."""
    return review(
        pack,
        given.text,
        task=given.task,
        channel=given.channel,
        context=given.context,
        on=given.on,
    )


def review_as_json(result: Review) -> dict[str, Any]:
    """A review as commands and HTTP give it."""
    return {
        "verdict": result.verdict,
        "findings": [
            {
                "rule": finding.rule.id,
                "title": finding.rule.title_zh,
                "title_en": finding.rule.title_en,
                "severity": finding.severity,
                "span": list(finding.span),
                "text": finding.text,
                "source": source_as_json(finding.rule),
                "anchor": finding.rule.anchor,
                "suggestion": finding.rule.suggestion_zh,
                "suggestion_en": finding.rule.suggestion_en,
                "like": finding.like,
                "channels": [c for c in get_args(Channel) if c in finding.channels],
            }
            for finding in result.findings
        ],
        "unchecked": [
            {"rule": unchecked.rule.id, "needs": list(unchecked.needs)}
            for unchecked in result.unchecked
        ],
        "rules_version": result.rules_version,
        "cut": list(result.cut),
    }


def source_as_json(rule: Rule) -> dict[str, Any]:
    """Where a rule stands; the article only where its text, or a quote of it, is held."""
    basis = rule.basis
    held = basis.evidence in HELD
    return {
        "regulation": basis.regulation,
        "article": basis.article or None if held else None,
        "evidence": basis.evidence,
        "verified": held,
    }


def rule_as_json(rule: Rule, *, full: bool = False) -> dict[str, Any]:
    """A rule as commands and HTTP give it; `full` adds wording, all sources and the examples."""
    row: dict[str, Any] = {
        "id": rule.id,
        "title": rule.title_zh,
        "title_en": rule.title_en,
        "tasks": [task for task in get_args(Task) if task in rule.tasks],
        "channels": [c for c in get_args(Channel) if not rule.channels or c in rule.channels],
        "severity": rule.severity,
        "anchor": rule.anchor,
        "source": source_as_json(rule),
        "effective_from": rule.effective_from and rule.effective_from.isoformat(),
        "effective_to": rule.effective_to and rule.effective_to.isoformat(),
        "file": rule.file,
    }
    if full:
        row |= {
            "suggestion": rule.suggestion_zh,
            "suggestion_en": rule.suggestion_en,
            "note": rule.note,
            "sources": [
                {
                    "regulation": basis.regulation,
                    "article": basis.article,
                    "evidence": basis.evidence,
                    "quote": basis.quote,
                    "note": basis.note,
                }
                for basis in rule.bases
            ],
            "bad": [example.text for example in rule.bad],
            "good": [example.text for example in rule.good],
            "examples": [
                {"kind": kind, **_example_as_json(example)}
                for kind, examples in (("bad", rule.bad), ("good", rule.good))
                for example in examples
            ],
        }
    return row


def _written(value: object) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


def _example_as_json(example: Example) -> dict[str, Any]:
    context = {
        key: value if isinstance(value, bool | int | tuple) else _written(value)
        for key, value in example.context.items()
        if value != CONTEXT_DEFAULTS.get(key)
    }
    return {
        "text": example.text,
        "task": example.task,
        "channel": example.channel,
        "context": context,
        "on": None if example.on == date.max else example.on.isoformat(),
    }


@dataclass(frozen=True, slots=True)
class ExampleFailure:
    """An example on which its rule does not do what the pack says."""

    rule: Rule
    kind: Literal["bad", "good"]
    place: int
    """Counted from 1."""
    example: Example
    detail: str


def try_examples(pack: RulePack) -> list[ExampleFailure]:
    """Each rule on its own examples: it must fire on the bad ones and not on the good ones."""
    failures = []
    for rule in pack.rules:
        kinds: tuple[tuple[Literal["bad", "good"], tuple[Example, ...]], ...] = (
            ("bad", rule.bad),
            ("good", rule.good),
        )
        for kind, examples in kinds:
            for place, example in enumerate(examples, start=1):
                detail = _example_fault(pack, rule, kind, example)
                if detail:
                    failures.append(ExampleFailure(rule, kind, place, example, detail))
    return failures


def _example_fault(
    pack: RulePack, rule: Rule, kind: Literal["bad", "good"], example: Example
) -> str:
    result = review(
        pack,
        example.text,
        task=example.task,
        channel=example.channel,
        context=example.context,
        on=example.on,
    )
    hits = [finding.text for finding in result.findings if finding.rule.id == rule.id]
    if kind == "good":
        return f"fires on {', '.join(hits)}" if hits else ""
    if hits:
        return ""
    needs = [key for u in result.unchecked if u.rule.id == rule.id for key in u.needs]
    return f"does not fire; context not said: {', '.join(needs)}" if needs else "does not fire"


def applicable(
    pack: RulePack, task: Task, channel: Channel | None, on: date
) -> Sequence[tuple[Rule, Trigger]]:
    """The triggers of the rules that apply to such a message on a day."""
    key = (task, channel, on)
    known: dict[Any, list[tuple[Rule, Trigger]]] = pack.memo.setdefault("applicable", {})
    if key not in known:
        if len(known) >= 256:
            known.clear()
        known[key] = [
            (rule, trigger)
            for rule in pack.rules
            if _applies(rule, task, channel) and rule.in_force(on)
            for trigger in rule.triggers
            if _applies(trigger, task, channel)
        ]
    return known[key]


_Due = tuple[Rule, Trigger, tuple[str, ...]]
"""A trigger of a rule with the context keys that it needs and that are not said."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """The triggers that apply, and which of them a message can wake at all."""

    due: Sequence[_Due]
    """In the order of the pack."""
    always: Sequence[int]
    """Places of those that every message wakes."""
    woken: Mapping[bool, Mapping[Pattern, Sequence[int]]]
    """Whether in the folding without disguises -> pattern -> places of the others that it wakes."""

    def awake(self, searches: Mapping[bool, _Search]) -> Iterator[_Due]:
        places = set(self.always)
        for evasion, woken in self.woken.items():
            for pattern in searches[evasion].met & woken.keys():
                places.update(woken[pattern])
        return map(self.due.__getitem__, sorted(places))


def _plan(
    pack: RulePack,
    task: Task,
    channel: Channel | None,
    said: frozenset[str],
    on: date,
    whole: bool,
) -> _Plan:
    """said: the context keys that are."""
    key = (task, channel, said, on, whole)
    known: dict[Any, _Plan] = pack.memo.setdefault("plans", {})
    plan = known.get(key)
    if plan is None:
        if len(known) >= 256:
            known.clear()
        known[key] = plan = _planned(pack, task, channel, said, on, whole)
    return plan


def _planned(
    pack: RulePack,
    task: Task,
    channel: Channel | None,
    said: frozenset[str],
    on: date,
    whole: bool,
) -> _Plan:
    prefilter = _prefilter(pack, task)
    due: list[_Due] = []
    always: list[int] = []
    woken: dict[bool, dict[Pattern, list[int]]] = {}
    for rule, trigger in applicable(pack, task, channel, on):
        if trigger.of_whole_message and not whole:
            continue
        waking = _waking(trigger)
        if not waking or not prefilter.always.isdisjoint(waking):
            always.append(len(due))
        else:
            for pattern in waking:
                by_pattern = woken.setdefault(trigger.evasion, {})
                by_pattern.setdefault(pattern, []).append(len(due))
        settings = pack.settings_of(rule)
        needs = (key for key in _keys(trigger) if key not in said and not _is_set(key, settings))
        due.append((rule, trigger, tuple(needs)))
    return _Plan(due, always, woken)


def _waking(trigger: Trigger) -> Sequence[Pattern]:
    """Patterns one of which must match, if the trigger is to hold; none where nothing must."""
    if trigger.patterns:
        return trigger.patterns
    # Each of the figures must be found.
    return next((condition.near for condition in trigger.figures if condition.near), ())


def _applies(scoped: Rule | Trigger, task: Task, channel: Channel | None) -> bool:
    return (not scoped.tasks or task in scoped.tasks) and (
        channel is None or not scoped.channels or channel in scoped.channels
    )


_WARMING = Lock()


def warm_up(pack: RulePack, task: Task) -> None:
    """Put together what the first text of a task would have to wait for, some seconds on a busy
    machine; who comes meanwhile waits for it too."""
    with _WARMING:
        _prefilter(pack, task)


def _prefilter(pack: RulePack, task: Task) -> Prefilter:
    key = ("prefilter", task)
    if key not in pack.memo:
        pack.memo[key] = Prefilter(
            pattern
            for rule in pack.rules
            for trigger in rule.triggers
            if _applies(rule, task, None) and _applies(trigger, task, None)
            for pattern in _sought(trigger)
        )
    prefilter: Prefilter = pack.memo[key]
    return prefilter


def _sought(trigger: Trigger) -> Iterator[Pattern]:
    """All patterns that are compared with the message itself."""
    yield from trigger.patterns
    yield from trigger.unless
    yield from trigger.only_with
    yield from trigger.unless_with
    yield from trigger.message_with
    yield from trigger.requires_any
    yield from trigger.requires_all
    for words in (*trigger.unless_before, *trigger.unless_after):
        yield words.pattern
        if words.heading:
            yield words.heading
    for condition in trigger.figures:
        yield from condition.near


class _Search:
    """A message in the one of its foldings that a trigger looks at."""

    def __init__(self, pack: RulePack, task: Task, message: Message, evasion: bool) -> None:
        self._prefilter = _prefilter(pack, task)
        self._message = message
        self._evasion = evasion
        self._holds: dict[Pattern, bool] = {}
        self._spans: dict[Pattern, list[Span]] = {}

    @cached_property
    def folded(self) -> Folded:
        return self._message.bare if self._evasion else self._message.plain

    @cached_property
    def _segments(self) -> list[tuple[int, str, frozenset[Pattern]]]:
        text = self.folded.text
        segments = [(start, text[start:end]) for start, end in _segments(text)]
        return [(start, part, self._prefilter.met(part)) for start, part in segments]

    @cached_property
    def met(self) -> frozenset[Pattern]:
        """The sought patterns that may match within a segment."""
        return frozenset().union(*(met for _, _, met in self._segments))

    @cached_property
    def _in_parts(self) -> bool:
        # A part of a longer text may go over the border of two segments.
        return len(self._segments) > 1

    def may_hold(self, pattern: Pattern) -> bool:
        """Whether a pattern may match any part of the message: by its literals and, where the
        message is long, by all of it."""
        if not self._told(pattern):
            return False
        # Before many parts of a long text are looked through, all of it is once.
        return not self.folded.is_long or pattern.of_borders or self.holds(pattern)

    def _told(self, pattern: Pattern) -> bool:
        return pattern in self.met or self._in_parts

    def spans(self, pattern: Pattern) -> list[Span]:
        """Where a sought pattern matches the folded text."""
        known = self._spans.get(pattern)
        if known is None:
            known = [
                (start + first, start + last)
                for start, part, met in self._segments
                if pattern in met
                for first, last in pattern.spans(part)
            ]
            self._spans[pattern] = known
        return known

    def holds(self, pattern: Pattern) -> bool:
        """Whether a pattern matches anywhere in the message."""
        known = self._holds.get(pattern)
        if known is None:
            known = self._told(pattern) and pattern.within(self.folded.text)
            self._holds[pattern] = known
        return known


def _segments(text: str) -> Iterator[Span]:
    start = 0
    while len(text) - start > SEGMENT:
        end = start + SEGMENT
        cut = max(text.rfind(mark, start + SEGMENT // 2, end) for mark in "。\n！？!?;；")
        if cut >= 0:
            yield start, cut + 1
            start = cut + 1
        else:
            yield start, end
            start = end - OVERLAP
    yield start, len(text)


def _text_conditions(
    trigger: Trigger, search: _Search, message: Message, most: int
) -> list[Span] | None:
    """Where the text meets a trigger's conditions on it, at most so many matches of patterns; None
    where it does not, and an empty list where it does as a whole."""
    # What their literals rule out costs no search.
    if trigger.only_with and not any(map(search.may_hold, trigger.only_with)):
        return None
    if trigger.message_with and not any(map(search.may_hold, trigger.message_with)):
        return None
    places: list[Span] = []
    if trigger.patterns:
        places = _matches(trigger, search, most)
        if not places:
            return None
    measured_places: list[Span] = []
    for condition in trigger.figures:
        there = (
            span
            for span in _measured(condition, search, message)
            if not _excused(trigger, search, search.folded.place(span))
        )
        found = list(islice(there, most))
        if not found:
            return None
        measured_places += found
    if trigger.message_with and not any(map(search.holds, trigger.message_with)):
        return None
    if trigger.requires_any and any(_present(trigger, search, p) for p in trigger.requires_any):
        return None
    if trigger.requires_all and all(_present(trigger, search, p) for p in trigger.requires_all):
        return None
    return [search.folded.origin(*place) for place in places] or measured_places


def _present(trigger: Trigger, search: _Search, required: Pattern) -> bool:
    """Whether the message has what is required of it; where nothing else is matched, what stands
    around it may take its meaning away."""
    if not search.holds(required):
        return False
    if not trigger.only_requires or not trigger.excuses:
        return True
    places = search.spans(required)
    # In a long text it may stand where two segments meet, and in neither.
    return not places or any(not _excused(trigger, search, place) for place in places)


def _matches(trigger: Trigger, search: _Search, most: int) -> list[Span]:
    found = []
    for pattern in filter(search.met.__contains__, trigger.patterns):
        for place in search.spans(pattern):
            if not _excused(trigger, search, place):
                found.append(place)
                if len(found) >= most:
                    return found
    return found


def _excused(trigger: Trigger, search: _Search, place: Span) -> bool:
    """Whether what stands around a match takes its meaning away."""
    text = search.folded.text
    of = len(text)
    start, end = place
    low, high = max(0, start - PHRASE), min(len(text), end + PHRASE)
    for phrase in trigger.unless:
        if search.may_hold(phrase) and any(
            low + s <= start and end <= low + e for s, e in phrase.spans(text[low:high], of=of)
        ):
            return True
    for words in trigger.unless_before:
        over = words.heading
        if over and search.may_hold(over) and over.within(heading(text, start), of=of):
            return True
        if not search.may_hold(words.pattern):
            continue
        low = clause_start(text, start, words.window, REACH[words.reach])
        if low < start and words.pattern.within(text[low:start], of=of):
            return True
    for words in trigger.unless_after:
        if not search.may_hold(words.pattern):
            continue
        high = clause_end(text, end, words.window, REACH[words.reach])
        if end < high and words.pattern.within(text[end:high], of=of):
            return True
    unless_with = [p for p in trigger.unless_with if search.may_hold(p)]
    if not (trigger.only_with or unless_with):
        return False
    ends = REACH["sentence"]
    sentence = text[clause_start(text, start, BESIDE, ends) : clause_end(text, end, BESIDE, ends)]
    if any(p.within(sentence, of=of) for p in unless_with):
        return True
    return bool(trigger.only_with) and not any(
        p.within(sentence, of=of) for p in trigger.only_with if search.may_hold(p)
    )


def _measured(condition: FigureCondition, search: _Search, message: Message) -> Iterator[Span]:
    if condition.near and not any(search.spans(p) for p in condition.near):
        return
    for value, span in measured(condition.quantity, message):
        if not _within_bounds(value, condition.bounds, message):
            continue
        clause = search.folded.clause(span)
        if condition.near and not any(p.within(clause) for p in condition.near):
            continue
        if not any(p.within(clause) for p in condition.not_near):
            yield span


def _within_bounds(
    value: Decimal | int, bounds: Iterable[tuple[str, str | Decimal]], message: Message
) -> bool:
    return all(
        _BOUNDS[name](Decimal(value), message.number(bound) if isinstance(bound, str) else bound)
        for name, bound in bounds
    )


_BOUNDS: Mapping[str, Any] = {
    "over": Decimal.__gt__,
    "under": Decimal.__lt__,
    "at_least": Decimal.__ge__,
    "at_most": Decimal.__le__,
}


def _keys(trigger: Trigger) -> Iterator[str]:
    for condition in trigger.context:
        yield condition.key
    if trigger.question:
        yield "question"
    if trigger.check:
        yield from CHECKS[trigger.check]


def _is_set(key: str, settings: Mapping[str, SettingValue]) -> bool:
    """Whether the institution has set what else must be said of each message."""
    setting = CONTEXT_SETTINGS.get(key)
    return setting is not None and bool(settings.get(setting))


def _context_holds(trigger: Trigger, message: Message) -> bool:
    context = message.context
    return all(_holds(condition, message) for condition in trigger.context) and not any(
        c.key in context and _holds(c, message) for c in trigger.unless_context
    )


def _holds(condition: ContextCondition, message: Message) -> bool:
    value = message.context[condition.key]
    if condition.within is not None:
        first, last = (
            one if isinstance(one, time) else message.settings[one] for one in condition.within
        )
        assert isinstance(value, datetime)
        assert isinstance(first, time)
        assert isinstance(last, time)
        as_said = message.settings["hours_of"] == "message"
        local = (value if as_said else value.astimezone(message.zone)).time()
        if first <= last:
            return first <= local < last
        return local >= first or local < last
    if condition.bounds:
        return _within_bounds(value, condition.bounds, message)
    return value in condition.is_


_Place = tuple[Span, Severity, frozenset[Channel]]
"""Where a trigger fires, how severe that is, and on which channels alone; empty: on any."""


def _worst(places: Iterable[_Place]) -> list[_Place]:
    """As many as are told of one rule, none of them milder than one that is not."""
    return sorted(places, key=lambda place: -RANK[place[1]])[:MOST_FINDINGS]


def _merged(places: Sequence[_Place]) -> list[_Place]:
    """Overlapping places as one, with the worst severity and the channels on which it is that."""
    merged: list[_Place] = []
    for span, severity, channels in sorted(places, key=lambda place: place[0]):
        if merged and span[0] < merged[-1][0][1]:
            (start, end), before, there = merged[-1]
            if severity == before:
                channels = channels | there if channels and there else frozenset()
            elif RANK[severity] < RANK[before]:
                severity, channels = before, there
            merged[-1] = (start, max(end, span[1])), severity, channels
        else:
            merged.append((span, severity, channels))
    return merged
