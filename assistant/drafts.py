"""Drafts of offers on their way to being sent: written, checked, submitted, approved, frozen.

What may be done to a draft is decided by pure functions, `decide` and `unfit`; the store does it in
one transaction a step, each of them a decision in the audit chain. An approval holds for one
content, one version of the campaign and of the rules, and the days of the offer: `standing` is what
everything that is sent has to pass, and it trusts no state that stands in a row.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any, Literal, get_args

from sqlalchemy import ColumnElement, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from prompts.render import page, page_words

from . import audit
from .audit import Entry, Trail
from .campaigns import Campaign
from .db import as_utc, audit_entries, offer_drafts, offer_versions, staff
from .rules import Channel

State = Literal[
    "draft", "checked", "submitted", "approved", "rejected", "void", "exported", "expired"
]
STATES: tuple[State, ...] = get_args(State)

Action = Literal[
    "created",
    "edited",
    "submitted",
    "approved",
    "rejected",
    "withdrawn",
    "exported",
    "voided",
    "expired",
]
ACTIONS: tuple[Action, ...] = get_args(Action)

Lapse = Literal[
    "campaign_gone", "campaign_changed", "rules_changed", "offer_changed", "not_started", "ended"
]
"""Why what was approved may not go out: what it was approved for is not so (now)."""

Declining = (
    Literal[
        "unknown_draft",
        "changed_meanwhile",
        "wrong_state",
        "own_draft",
        "not_checked",
        "comment_needed",
        "answer_needed",
        "unchanged",
    ]
    | Lapse
)

Unfit = (
    Literal["unknown_draft", "not_approved", "tampered", "not_as_approved", "other_campaign"]
    | Lapse
)
"""Why nothing may be sent by a draft."""

KIND: Literal["offer"] = "offer"
STANDS: frozenset[State] = frozenset({"approved", "exported"})
"""States in which an approval may stand."""
MOST_COMMENT = 2000
MOST_LISTED = 200

EDITABLE: frozenset[State] = frozenset(STATES) - {"expired"}
WITHDRAWABLE: frozenset[State] = frozenset(
    {"draft", "checked", "submitted", "approved", "rejected", "exported"}
)


class UnusableContent(Exception):
    """A content that no draft can have; the message names the field."""


# What a draft is ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Content:
    """All that an approval is given to. Another value in any field is another content."""

    campaign: str
    campaign_version: str
    rules_version: str
    segment: str
    """Id of one of the campaign's segments, of a saved one, or `plain`."""
    personalised: bool
    """Whether something known of the customer decides who gets it or what it says."""
    channel: Channel
    locale: str
    variant: int
    """1, 2, 3 by segment and channel."""
    idea: str
    """Key of knowledge/copy/ideas.toml."""
    template: str
    """The body, with named slots and without a figure of its own; what a marketer edits."""
    subject: str
    """Of an e-mail, title of a push message or card; empty where the channel has none."""
    slots: tuple[str, ...]
    """All that template and subject name, in order."""
    values: Mapping[str, str]
    """Slot -> what stands in it for every customer: from coupon, campaign and lender."""
    opening: str
    """What stands before the body, from data, such as the lender's name."""
    closing: str
    """What stands after it, from data: annual rate, caveat, reminder, the way out."""
    coupon: str
    """Id of the coupon that is offered; empty: none."""
    coupon_from: date | None
    coupon_to: date | None

    @property
    def whole(self) -> str:
        """What is sent, once its slots are filled."""
        return f"{self.opening}{self.template}{self.closing}"

    @property
    def sha256(self) -> str:
        return _sha256(content_text(self))


@dataclass(frozen=True, slots=True)
class Check:
    """What the rules said of a content, and what it looks like filled in."""

    verdict: Literal["pass", "warn", "fix", "block"]
    sample: str
    """The message to a made-up customer."""
    sample_subject: str = ""
    findings: tuple[Mapping[str, Any], ...] = ()
    """As `compliance.review_as_json` gives them, of the sample."""
    unchecked: tuple[Mapping[str, Any], ...] = ()
    length: Mapping[str, Any] = field(default_factory=dict)
    """Units, parts and limit by the channel's own counting, and whether it is `over`."""
    calculation: Mapping[str, Any] = field(default_factory=dict)
    """Of the best coupon: what it saves on which loan, and the others."""
    made_by: Literal["model", "template", "person"] = "person"
    prompt_version: str = ""
    attributes: tuple[str, ...] = ()
    """What is used of a customer to choose who gets it."""

    @property
    def passes(self) -> bool:
        return self.verdict in ("pass", "warn") and not self.length.get("over", False)

    @property
    def open_rules(self) -> tuple[str, ...]:
        """Rules whose findings have to be answered before it is submitted."""
        return tuple(dict.fromkeys(str(finding["rule"]) for finding in self.findings))


@dataclass(frozen=True, slots=True)
class HistoryStep:
    """One thing that was done to a draft, from the audit chain."""

    seq: int
    at: str
    action: Action
    by: str
    by_name: str
    state: State
    """After it."""
    version: int
    sha256: str
    """Of the content at that time."""
    comment: str
    answers: Mapping[str, str]
    """Rule -> what was said to its finding."""
    reason: str
    """Why it was voided; else empty."""
    genuine: bool


@dataclass(frozen=True, slots=True)
class Version:
    """A draft as it was written or edited once."""

    number: int
    content: Content
    check: Check
    by: str
    by_name: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Draft:
    id: str
    state: State
    version: int
    content: Content
    check: Check
    author: str
    author_name: str
    editor: str
    """Who wrote the version that stands."""
    editor_name: str
    made_at: datetime
    changed_at: datetime

    @property
    def sha256(self) -> str:
        """To be named, as what was looked at, by who does something to it."""
        return self.content.sha256


@dataclass(frozen=True, slots=True)
class Declined:
    """A step that was not made, and how the draft stands."""

    reason: Declining
    draft: Draft | None = None
    last: HistoryStep | None = None
    """What happened to it last."""
    rules: tuple[str, ...] = ()
    """With `answer_needed`: whose findings nobody has answered."""


@dataclass(frozen=True, slots=True)
class Approved:
    """What may be sent: frozen as it was approved."""

    draft_id: str
    content: Content
    check: Check
    sha256: str
    approved_by: str
    approved_at: str
    seq: int
    """Number of the approval in the audit chain."""


@dataclass(frozen=True, slots=True)
class Lapsed:
    reason: Unfit


# Deciding: pure -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Now:
    """What a draft is held against: the day, the rules, and its campaign as it is loaded."""

    today: date
    rules_version: str
    campaign_version: str
    """Empty: there is no such campaign."""
    first_day: date
    last_day: date
    """The days on which both campaign and coupon run."""
    same_offer: bool
    """Whether the coupon is the campaign's, on the days that the content says."""


@dataclass(frozen=True, slots=True)
class Held:
    """What counts of a draft when something is to be done to it."""

    state: State
    author: str
    editor: str
    sha256: str
    campaign_version: str
    rules_version: str
    passes: bool
    open_rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """What somebody wants to do to a draft."""

    action: Action
    by: str
    seen: str
    """Hash of the content that they looked at."""
    comment: str = ""
    answers: Mapping[str, str] = field(default_factory=dict)
    new_sha256: str = ""
    """With `edited`: of the content that takes the place."""
    new_passes: bool = False


def now_of(campaign: Campaign | None, content: Content, *, rules_version: str, today: date) -> Now:
    """What holds for a content on a day."""
    if campaign is None or campaign.id != content.campaign:
        return Now(today, rules_version, "", date.max, date.min, False)
    first, last, same = campaign.starts_on, campaign.ends_on, True
    if content.coupon:
        try:
            coupon = campaign.coupon(content.coupon)
        except KeyError:
            same = False
        else:
            first, last = max(first, coupon.valid_from), min(last, coupon.valid_to)
            same = (coupon.valid_from, coupon.valid_to) == (content.coupon_from, content.coupon_to)
    return Now(today, rules_version, campaign.version, first, last, same)


def lapse(held: Held, now: Now) -> Lapse | None:
    """Why an approval of this content holds no more; None while it does. What has not begun yet may
    be approved, and not sent."""
    if not now.campaign_version:
        return "campaign_gone"
    if now.campaign_version != held.campaign_version:
        return "campaign_changed"
    if now.rules_version != held.rules_version:
        return "rules_changed"
    if not now.same_offer:
        return "offer_changed"
    if now.today > now.last_day:
        return "ended"
    return None


def decide(held: Held, step: Step, now: Now) -> State | Declining:
    """The state after a step, or why it is not made; the two have no word in common."""
    if step.seen != held.sha256:
        return "changed_meanwhile"
    lapsed = lapse(held, now)
    match step.action:
        case "edited":
            if held.state not in EDITABLE:
                return "wrong_state"
            if step.new_sha256 == held.sha256:
                return "unchanged"
            return "checked" if step.new_passes else "draft"
        case "submitted":
            if held.state == "draft":
                return "not_checked"
            if held.state != "checked":
                return "wrong_state"
            if lapsed:
                return lapsed
            if not held.passes:
                return "not_checked"
            return "submitted" if not unanswered(held, step) else "answer_needed"
        case "approved" | "rejected":
            if held.state != "submitted":
                return "wrong_state"
            if step.by in (held.author, held.editor):
                return "own_draft"
            if step.action == "rejected":
                return "rejected" if step.comment.strip() else "comment_needed"
            if lapsed:
                return lapsed
            return "approved" if held.passes else "not_checked"
        case "withdrawn":
            return "void" if held.state in WITHDRAWABLE else "wrong_state"
        case "exported":
            if held.state not in STANDS:
                return "wrong_state"
            return lapsed or not_begun(now) or "exported"
        case "voided" | "expired":
            if held.state in ("void", "expired") or not lapsed:
                return "wrong_state"
            if lapsed == "ended":
                return "expired"
            return "void" if held.state in STANDS | {"submitted"} else "wrong_state"
        case _:
            return "wrong_state"


def unanswered(held: Held, step: Step) -> tuple[str, ...]:
    """Rules whose findings neither the answers nor a comment on the whole speak of."""
    if step.comment.strip():
        return ()
    return tuple(rule for rule in held.open_rules if not step.answers.get(rule, "").strip())


def not_begun(now: Now) -> Lapse | None:
    return "not_started" if now.today < now.first_day else None


def unfit(held: Held, approved_sha256: str, now: Now) -> Unfit | None:
    """Why nothing may be sent by a draft now; None where it may.

    approved_sha256: what the last decision about it approved; empty: nothing.
    """
    if held.state not in STANDS or not approved_sha256:
        return "not_approved"
    if approved_sha256 != held.sha256:
        return "not_as_approved"
    return lapse(held, now) or not_begun(now)


# Doing: one transaction a step ----------------------------------------------------------------


async def create(trail: Trail, content: Content, check: Check, *, by: str) -> Draft:
    """Keep a new draft. Raises UnusableContent."""
    raise NotImplementedError


async def edit(
    trail: Trail, draft_id: str, content: Content, check: Check, *, by: str, seen: str
) -> Draft | Declined:
    """Put another content in the place of one, from which on an approval of it holds no more."""
    raise NotImplementedError


async def submit(
    trail: Trail,
    draft_id: str,
    *,
    by: str,
    seen: str,
    comment: str = "",
    answers: Mapping[str, str] | None = None,
    now: Now,
) -> Draft | Declined:
    """Ask for approval. answers: rule -> what is said to its finding; a comment answers all."""
    raise NotImplementedError


async def approve(
    trail: Trail, draft_id: str, *, by: str, seen: str, comment: str = "", now: Now
) -> Draft | Declined:
    """Approve what was looked at; whether `by` has the role is the caller's to know."""
    raise NotImplementedError


async def reject(
    trail: Trail, draft_id: str, *, by: str, seen: str, comment: str, now: Now
) -> Draft | Declined:
    raise NotImplementedError


async def withdraw(
    trail: Trail, draft_id: str, *, by: str, seen: str, comment: str = "", now: Now
) -> Draft | Declined:
    """Take a draft back, approved or not."""
    raise NotImplementedError


async def export(
    trail: Trail,
    draft_id: str,
    *,
    run_id: str,
    by: str,
    campaign: Campaign,
    rules_version: str,
    today: date,
) -> Draft | Declined:
    """Note that a run sends by it; nothing changes where one has before."""
    raise NotImplementedError


async def expire(
    trail: Trail, campaigns: Mapping[str, Campaign], *, rules_version: str, today: date, by: str
) -> list[tuple[str, State]]:
    """Void what was approved for a campaign, rules or days that are not so any more; (id, state
    after) of those that changed."""
    raise NotImplementedError


async def standing(
    trail: Trail, draft_id: str, *, campaign: Campaign | None, rules_version: str, today: date
) -> Approved | Lapsed:
    """Whether something may be sent by a draft now: the one way past is a genuine approval in the
    audit chain of this very content, that nothing came after, whose rows are as they were entered,
    by another than wrote it, for this campaign, these rules and this day."""
    raise NotImplementedError


async def read_draft(engine: AsyncEngine, draft_id: str) -> Draft | None:
    raise NotImplementedError


async def list_drafts(
    engine: AsyncEngine,
    *,
    campaign: str = "",
    states: Collection[State] = (),
    offset: int = 0,
    limit: int = 50,
) -> tuple[list[Draft], int]:
    """Drafts of a page, the last changed first, and how many there are."""
    raise NotImplementedError


async def history(trail: Trail, draft_id: str) -> list[HistoryStep]:
    """What was done to a draft, oldest first."""
    raise NotImplementedError


async def versions(engine: AsyncEngine, draft_id: str) -> list[Version]:
    """Oldest first."""
    raise NotImplementedError


def content_text(content: Content) -> str:
    """The one text of a content, which is stored and hashed."""
    return audit.canonical(asdict(content))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
