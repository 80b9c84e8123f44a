"""Labelled messages, judged by the compliance rules: what is found, what is found wrongly."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from assistant.compliance import BadMessage, Given, Review, read_message, review_given
from assistant.rules import RulePack, Task
from assistant.wording import review_wording

from .calibration import kappa
from .metrics import Check, Share, wilson
from .records import CaseRecord, RuleOutcome, SuiteInfo
from .results import SuiteResult, failures_of
from .schema import BadCases, Text, hash_of, load_rows


@dataclass(frozen=True, slots=True)
class MessageSuite:
    """Messages with the rules that each of them breaks."""

    name: str
    file: Path
    about: str
    today: date
    """The day whose rules apply where a message does not say its own."""
    bars: Mapping[str, float]
    task: Task | None = None
    """Messages of this task only."""
    reread: Path | None = None
    """What further readers, who saw no label, make of the same messages."""

    def cases(self) -> list[MessageCase]:
        """Raises BadCases."""
        return [case for case in load_messages(self.file) if self.task in (None, case.task)]


class Broken(BaseModel):
    """Which rules a message breaks; none: it may go out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rules: tuple[Text, ...]
    may: tuple[Text, ...] = ()
    """Rules about which one may argue: finding them is neither right nor wrong."""


class MessageCase(BaseModel):
    """One message and the rules it breaks in the eyes of who labelled it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    text: Text
    task: Task
    channel: str | None = None
    context: Mapping[str, Any] = Field(default_factory=dict)
    topic: Text
    difficulty: Literal["easy", "medium", "hard"]
    source: Text
    expect: Broken
    note: str = ""

    @property
    def expected(self) -> str:
        """What is right, in words, for a reader."""
        return ", ".join(self.expect.rules) or "nothing"


class Reread(BaseModel):
    """One message in the eyes of further readers, who saw neither the labels nor each other's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Text
    labels: Mapping[str, Broken]
    """Reader -> rules it breaks."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A message with what the rules found in it."""

    case: MessageCase
    found: frozenset[str]
    latency_ms: float = 0.0
    warned: frozenset[str] = frozenset()
    """What its wording makes likely, where the rules find nothing."""

    @property
    def breaks(self) -> frozenset[str]:
        return frozenset(self.case.expect.rules)

    @property
    def counted(self) -> frozenset[str]:
        """What was found, without what one may argue about."""
        return self.found - (frozenset(self.case.expect.may) - self.breaks)

    @property
    def flagged(self) -> bool:
        """Whether rules or wording speak of more than what one may argue about."""
        return bool(self.counted or self.warned - frozenset(self.case.expect.may))

    @property
    def outcomes(self) -> dict[str, RuleOutcome]:
        """What came of each rule that is broken, or found where it is not."""
        told: dict[str, RuleOutcome] = dict.fromkeys(sorted(self.breaks & self.found), "found")
        told |= dict.fromkeys(sorted(self.breaks - self.found), "missed")
        return told | dict.fromkeys(sorted(self.counted - self.breaks), "wrong")


def load_messages(file: Path) -> list[MessageCase]:
    """The cases of a JSONL file, in order. Raises BadCases."""
    return load_rows(file, MessageCase)


def judge(
    suite: MessageSuite,
    rules: RulePack,
    limit: int | None = None,
    before: Mapping[str, CaseRecord] | None = None,
    judged_one: Callable[[Judged], None] = lambda one: None,
    weigh: Callable[[RulePack, Review, Given], Review] = review_wording,
) -> list[Judged]:
    """Every message as `zhunxin check` judges it. Raises BadCases.

    before: case -> its record, where it was judged already by the same rules.
    judged_one: is called with each message that is judged now.
    weigh: what adds the warnings of its wording to what the rules find.
    """
    judged: list[Judged] = []
    for case in suite.cases()[:limit]:
        if before and (known := before.get(case.id)):
            found, warned = frozenset(known.findings), frozenset(known.warned)
            judged.append(Judged(case, found, known.latency_ms, warned))
            continue
        unknown = {*case.expect.rules, *case.expect.may} - rules.by_id.keys()
        if unknown:
            raise BadCases(f"{suite.file.name}: {case.id}: no rule {min(unknown)!r}")
        row = {
            "text": case.text,
            "task": case.task,
            "channel": case.channel,
            "context": dict(case.context),
        }
        started = time.perf_counter()
        try:
            given = read_message(rules, row, on=None, today=suite.today)
        except BadMessage as error:
            raise BadCases(f"{suite.file.name}: {case.id}: {error}") from None
        review = review_given(rules, given)
        found = frozenset(finding.rule.id for finding in review.findings)
        latency_ms = round((time.perf_counter() - started) * 1000, 1)
        worded = weigh(rules, review, given)
        warned = frozenset(finding.rule.id for finding in worded.findings) - found
        one = Judged(case, found, latency_ms, warned)
        judged.append(one)
        judged_one(one)
    return judged


def judge_messages(
    suite: MessageSuite, rules: RulePack, limit: int | None = None, **resumed: Any
) -> SuiteResult:
    """resumed: as `judge` takes it. Raises BadCases."""
    judged = judge(suite, rules, limit, **resumed)
    metrics = _metrics(judged)
    records = tuple(record_of(suite, one) for one in judged)
    tables = [by_topic(judged), by_rule(judged, rules)]
    if suite.reread is not None:
        tables.append(by_reader(judged, load_rows(suite.reread, Reread)))
    return SuiteResult(
        name=suite.name,
        n=len(judged),
        scored=len(judged),
        metrics=metrics,
        bars=suite.bars,
        missed=tuple(
            name
            for name, bar in suite.bars.items()
            if name not in metrics or metrics[name].value < bar
        ),
        failures=failures_of(records),
        models=(),
        tables=tuple(tables),
        records=records,
        info=SuiteInfo(suite.name, hash_of([one.case for one in judged]), dict(VERSIONS)),
    )


def _metrics(judged: Sequence[Judged]) -> dict[str, Share]:
    """recall, precision: of messages, by whether anything is found in them that one of their rules
    is about. exact: of messages, by whether all their rules are found and no others. rule_recall,
    rule_precision: of single findings, each a message with a rule. worded_recall, worded_precision:
    of messages, with those that their wording warns of."""
    breaking = [one for one in judged if one.breaks]
    flagged = [one for one in judged if one.counted]
    worded = [one for one in judged if one.flagged]
    right = sum(len(one.found & one.breaks) for one in judged)
    counts = {
        "recall": (sum(bool(one.found) for one in breaking), len(breaking)),
        "precision": (sum(bool(one.breaks) for one in flagged), len(flagged)),
        "exact": (sum(one.counted == one.breaks for one in judged), len(judged)),
        "rule_recall": (right, sum(len(one.breaks) for one in judged)),
        "rule_precision": (right, sum(len(one.counted) for one in judged)),
        "worded_recall": (sum(bool(one.found or one.warned) for one in breaking), len(breaking)),
        "worded_precision": (sum(bool(one.breaks) for one in worded), len(worded)),
    }
    return {name: wilson(passed, n) for name, (passed, n) in counts.items() if n}


VERSIONS: Mapping[str, int] = {
    "recall": 1,
    "precision": 1,
    "exact": 1,
    "rule_recall": 1,
    "rule_precision": 1,
    "worded_recall": 1,
    "worded_precision": 1,
}
"""Metric -> version of its definition."""


def record_of(suite: MessageSuite, one: Judged) -> CaseRecord:
    case = one.case
    missed = ", ".join(sorted(one.breaks - one.found))
    wrong = ", ".join(sorted(one.counted - one.breaks))
    found = ", ".join(sorted(one.found)) or "nothing"
    checks = {
        "exact": Check(not missed and not wrong, missed or "nothing more", wrong or "nothing else")
    }
    if one.breaks:
        checks["recall"] = Check(bool(one.found), ", ".join(sorted(one.breaks)), found)
    if one.counted:
        checks["precision"] = Check(bool(one.breaks), "nothing", found)
    # By rules and wording together, as a chat, the review of templates and --semantic judge.
    likely = ", ".join(sorted(one.found | one.warned)) or "nothing"
    if one.breaks:
        told = bool(one.found or one.warned)
        checks["worded_recall"] = Check(told, ", ".join(sorted(one.breaks)), likely)
    if one.flagged:
        checks["worded_precision"] = Check(bool(one.breaks), "nothing", likely)
    return CaseRecord(
        suite=suite.name,
        case=case.id,
        seed=0,
        topic=case.topic,
        difficulty=case.difficulty,
        text=case.text,
        expected=case.expected,
        said=", ".join(sorted(one.found)),
        checks=checks,
        findings=tuple(sorted(one.found)),
        warned=tuple(sorted(one.warned)),
        rules=one.outcomes,
        latency_ms=one.latency_ms,
    )


def by_topic(judged: Sequence[Judged]) -> str:
    """Recall and precision of messages by topic, as a table in Markdown."""
    lines = ["| topic | breaking | found | clean | found wrongly |", "|---|--:|--:|--:|--:|"]
    for topic in sorted({one.case.topic for one in judged}):
        here = [one for one in judged if one.case.topic == topic]
        breaking = [one for one in here if one.breaks]
        clean = [one for one in here if not one.breaks]
        cells = (
            len(breaking),
            sum(bool(one.found) for one in breaking),
            len(clean),
            sum(bool(one.counted) for one in clean),
        )
        lines.append(f"| {topic} | {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def by_rule(judged: Sequence[Judged], rules: RulePack) -> str:
    """For each rule, what was found, missed and found wrongly, as a table in Markdown."""
    counts = Counter(outcome for one in judged for outcome in one.outcomes.items())
    lines = ["| rule | anchor | found | missed | found wrongly |", "|---|---|--:|--:|--:|"]
    for rule in rules.rules:
        cells = (rule.anchor, *(counts[rule.id, outcome] for outcome in get_args(RuleOutcome)))
        lines.append(f"| {rule.id} | {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def by_reader(judged: Sequence[Judged], reread: Sequence[Reread]) -> str:
    """How far further readers agree with the labels on whether a message breaks a rule, and what
    recall and precision of messages are by theirs, as a table in Markdown."""
    lines = [
        "| reader | messages | kappa with the labels | breaking | recall | precision |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    by_case = {one.case.id: one for one in judged}
    for reader in sorted({name for row in reread for name in row.labels}):
        read = [
            (by_case[row.id], row.labels[reader])
            for row in reread
            if row.id in by_case and reader in row.labels
        ]
        if not read:
            continue
        agreed = kappa([(str(bool(one.breaks)), str(bool(label.rules))) for one, label in read])
        found = [bool(one.found) for one, label in read if label.rules]
        flagged = [
            bool(label.rules)
            for one, label in read
            if one.found - (frozenset(label.may) - frozenset(label.rules))
        ]
        cells = (
            reader,
            len(read),
            f"{agreed.value:.3f} [{agreed.low:.3f}, {agreed.high:.3f}]",
            len(found),
            f"{sum(found) / len(found):.3f}" if found else "-",
            f"{sum(flagged) / len(flagged):.3f}" if flagged else "-",
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)
