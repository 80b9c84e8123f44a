"""Recorded replies to borrowers, scored as cases are: by what can be told without an expectation.

A day's sample is drawn by the hash of each record's id, so that it is the same whenever it is
drawn, and a larger share holds the smaller one.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal

from pydantic import ValidationError

from assistant import samples
from assistant.api.schemas import ReplyBody
from assistant.deps import Deps
from assistant.models import LOCALES, Reply
from assistant.samples import Count, Recorded, Verdict
from knowledge import store
from knowledge.text import to_simplified

from .metrics import METRICS, Check, Metric, Seen, Share, wilson
from .schema import Case, Expect
from .targets import broken_rules, reply_of
from .wording import offers_contact

SHARE = 0.05
"""Of a day's replies that are scored, 0 to 1."""
BEFORE = timedelta(days=28)
"""What a day or week is held against: the time before it."""
UNLIKELY = 0.01
"""A difference that chance alone brings about more rarely than this is marked. Lower than usual:
a year of weeks of seven scorers is 364 tests."""
LEAST_BEFORE = 20
"""Replies scored before, below which nothing is said of a difference."""

By = Literal["day", "week"]
Drift = Literal["none", "worse", "better", "unknown"]

_TITLES = re.compile("[\u300a\u201c\u300c].*?[\u300b\u201d\u300d]")
"""Names of documents and quoted words stay as they are in any language."""
_HAN = re.compile(r"[\u3400-\u9fff]")
_LATIN = re.compile(r"[A-Za-z]")
_ENOUGH = 12
"""Characters from which the script of a text can be told."""

Progress = Callable[[int, int], None]


# Scorers -----------------------------------------------------------------------------------------


def check_language(case: Case, seen: Seen) -> Check | None:
    """Whether the assistant's own words are in the language asked for; quotes stay as they are."""
    if seen.reply is None:
        return None
    own = "".join(s.text for s in seen.reply.sentences if s.kind != "quote")
    told = _TITLES.sub("", own)
    han, latin = len(_HAN.findall(told)), len(_LATIN.findall(told))
    if max(han, latin) < _ENOUGH:
        return None
    chinese = "zh-Hans" if to_simplified(told) == told else "zh-Hant"
    got = "en" if latin > 2 * han else chinese
    return Check(got == case.locale, case.locale, got)


def check_handoff(case: Case, seen: Seen) -> Check | None:
    """Whether a reply that does not answer says how to reach a person."""
    reply = seen.reply
    if reply is None or reply.status in ("answered", "clarify"):
        return None
    offered = bool(reply.contact and reply.contact.hotline) or offers_contact(reply.answer)
    return Check(offered, "a person", "" if offered else "nobody")


SCORERS: Mapping[str, Metric] = {
    **{name: METRICS[name] for name in ("rules", "figures", "verbatim", "in_force", "shown")},
    "language": Metric(check_language),
    "handoff": Metric(check_handoff),
}
VERSIONS: Mapping[str, int] = {name: scorer.version for name, scorer in SCORERS.items()}


# Drawing and scoring -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sampled:
    """What came of scoring some days."""

    days: int
    replies: int
    """Answered to borrowers on these days."""
    drawn: int
    scored: int
    """Newly; the others of those drawn had been before."""
    unreadable: int
    wrong: Mapping[str, int]
    """Scorer -> newly scored replies that it found wrong."""

    def as_json(self) -> dict[str, Any]:
        return {
            "days": self.days,
            "replies": self.replies,
            "drawn": self.drawn,
            "scored": self.scored,
            "unreadable": self.unreadable,
            "wrong": dict(self.wrong),
            "scorers": dict(VERSIONS),
        }


def is_drawn(record_id: str, share: float) -> bool:
    """The same at every call; whoever is drawn at one share is drawn at every larger one."""
    number = int.from_bytes(hashlib.sha256(record_id.encode()).digest()[:8], "big")
    return number < share * 2**64


async def sample(
    deps: Deps,
    last: date,
    days: int,
    share: float = SHARE,
    progress: Progress = lambda done, total: None,
) -> Sampled:
    """Score the sample of each of so many days, the last one included, as far as it is not yet."""
    replies = drawn = scored = unreadable = 0
    wrong = dict.fromkeys(SCORERS, 0)
    texts = _Texts(deps)
    for done, back in enumerate(reversed(range(days))):
        progress(done, days)
        day = last - timedelta(days=back)
        ids = await samples.answered_on(deps.engine, day)
        chosen = [record_id for record_id in ids if is_drawn(record_id, share)]
        known = await samples.scored(deps.engine, chosen, VERSIONS)
        fresh = [record_id for record_id in chosen if record_id not in known]
        verdicts: list[Verdict] = []
        for recorded in await samples.read_recorded(deps.engine, fresh):
            checks = await _score(recorded, deps, texts)
            if checks is None:
                continue
            scored += 1
            for name, check in checks.items():
                passed = None if check is None else check.passed
                wrong[name] += passed is False
                verdicts.append(Verdict(recorded.id, name, VERSIONS[name], day, passed))
        await samples.keep(deps.engine, verdicts)
        replies, drawn = replies + len(ids), drawn + len(chosen)
        unreadable += len(fresh) - len({verdict.record_id for verdict in verdicts})
    progress(days, days)
    return Sampled(days, replies, drawn, scored, unreadable, wrong)


class _Texts:
    """Clause texts of the releases that replies were made from, each read once."""

    def __init__(self, deps: Deps) -> None:
        self._engine = deps.engine
        self._held: dict[str, Mapping[str, str]] = {}

    async def of(self, release: str) -> Mapping[str, str]:
        """Clause id -> text; empty where the release is not held any more."""
        if release not in self._held:
            async with self._engine.connect() as connection:
                keys = await store.release_sources(connection, release)
                clauses = await store.document_clauses(connection, [*keys.values()])
            self._held[release] = {clause.id: clause.text for clause in clauses}
        return self._held[release]


async def _score(recorded: Recorded, deps: Deps, texts: _Texts) -> dict[str, Check | None] | None:
    """Scorer -> verdict; None where the record cannot be read."""
    held = await texts.of(recorded.release)
    try:
        # The label that AI made it is put on as a reply is sent, and not recorded with it.
        reply = reply_of(ReplyBody.model_validate({"label": "", **recorded.reply}), held)
        case = _case(recorded, reply)
        today = date.fromisoformat(recorded.settings["today"])
    except (ValidationError, ValueError, KeyError, TypeError):
        return None
    seen = Seen(today, (), held, reply, broken_rules(deps.rules, case, reply, today))
    checks = {name: scorer.check(case, seen) for name, scorer in SCORERS.items()}
    if not held:
        checks["verbatim"] = None  # there is nothing left to hold the quotes against
    return checks


def _case(recorded: Recorded, reply: Reply) -> Case:
    """The record as a case that expects nothing beyond the status it has."""
    settings = recorded.settings
    locale = settings.get("locale")
    return Case(
        id=recorded.id,
        text=recorded.question,
        topic="recorded",
        difficulty="medium",
        source="recorded",
        locale=locale if locale in LOCALES else "zh-Hans",
        as_of=settings.get("as_of"),
        contract_date=settings.get("contract_date"),
        expect=Expect(status=(reply.status,)),
    )


# Drift -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Point:
    """What a scorer found in a day or week."""

    first: date
    share: Share
    before: Share | None
    """Of the four weeks before; None where nothing was scored then."""
    p: float | None
    """How likely a difference as large as this is by chance alone, 0 to 1."""
    drift: Drift


@dataclass(frozen=True, slots=True)
class Line:
    """A scorer over time."""

    scorer: str
    version: int
    points: tuple[Point, ...]


async def drift(deps: Deps, last: date, days: int, by: By = "day") -> list[Line]:
    """Every scorer over so many days, in days or in weeks from Monday on."""
    first = _start(last - timedelta(days=days - 1), by)
    found = await samples.counts(deps.engine, first - BEFORE, VERSIONS)
    return [Line(name, VERSIONS[name], points(found, name, first, by)) for name in SCORERS]


def points(found: Iterable[Count], scorer: str, first: date, by: By) -> tuple[Point, ...]:
    """One scorer's days or weeks since `first`, each held against the four weeks before it."""
    counted = [count for count in found if count.scorer == scorer]
    starts = sorted({_start(count.day, by) for count in counted if count.day >= first})
    result = []
    for start in starts:
        here = [count for count in counted if _start(count.day, by) == start]
        earlier = [count for count in counted if start - BEFORE <= count.day < start]
        result.append(_point(start, _added(here), _added(earlier)))
    return tuple(result)


def _point(start: date, here: tuple[int, int], earlier: tuple[int, int]) -> Point:
    share = wilson(*here)
    if not earlier[1]:
        return Point(start, share, None, None, "unknown")
    before = wilson(*earlier)
    p = fisher(*here, *earlier)
    marked: Drift = "none"
    if before.n < LEAST_BEFORE:
        marked = "unknown"
    elif p < UNLIKELY:
        marked = "worse" if share.value < before.value else "better"
    return Point(start, share, before, p, marked)


def _added(found: Sequence[Count]) -> tuple[int, int]:
    return sum(count.passed for count in found), sum(count.n for count in found)


def _start(day: date, by: By) -> date:
    return day if by == "day" else day - timedelta(days=day.weekday())


def fisher(passed: int, n: int, passed_before: int, n_before: int) -> float:
    """Two-sided exact test that two shares are of one kind (Fisher), 0 to 1.

    Exact, as shares here are close to 1 and days hold few replies, where a test of two proportions
    by the normal distribution marks too much.
    """
    right, total = passed + passed_before, n + n_before

    def likelihood(k: int) -> float:
        return _choices(right, k) + _choices(total - right, n - k)

    low, high = max(0, n - (total - right)), min(n, right)
    whole = _choices(total, n)
    seen = likelihood(passed)
    # A hair of room: equal likelihoods differ in their last digits.
    tail = (k for k in map(likelihood, range(low, high + 1)) if k <= seen + 1e-9)
    return min(1.0, sum(math.exp(k - whole) for k in tail))


def _choices(n: int, k: int) -> float:
    """Logarithm of n over k."""
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def line_as_json(line: Line) -> dict[str, Any]:
    return {
        "scorer": line.scorer,
        "version": line.version,
        "points": [
            {
                "first": point.first.isoformat(),
                "value": round(point.share.value, 4),
                "low": round(point.share.low, 4),
                "high": round(point.share.high, 4),
                "n": point.share.n,
                "before": None if point.before is None else round(point.before.value, 4),
                "n_before": 0 if point.before is None else point.before.n,
                "p": None if point.p is None else round(point.p, 4),
                "drift": point.drift,
            }
            for point in line.points
        ],
    }
