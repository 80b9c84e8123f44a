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
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Literal, cast, get_args

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
        "tampered",
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

ENDS: frozenset[State] = frozenset({"void", "expired"})
EDITABLE: frozenset[State] = frozenset(STATES) - {"expired"}
WITHDRAWABLE: frozenset[State] = frozenset(
    {"draft", "checked", "submitted", "approved", "rejected", "exported"}
)


class UnusableContent(Exception):
    """A content that this draft cannot have; the message names the field."""


class BrokenDraft(Exception):
    """The rows of a draft cannot be read: they were changed outside of the steps."""


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
    draw: str
    """Id of the campaign's draw; empty: a coupon is offered, or nothing."""
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
    """Of the text that a model wrote, also where a person has edited it since; empty: none did."""
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
    writers: frozenset[str] = frozenset()
    """Who wrote any version of it."""

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
    writers: frozenset[str] = frozenset()
    """Who wrote any of its versions: what one wrote may stand in what another edited."""

    def is_own(self, by: str) -> bool:
        return by in self.writers or by in (self.author, self.editor)


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
            if not now.campaign_version:
                return "campaign_gone"
            if now.today > now.last_day:
                return "ended"
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
            if held.is_own(step.by):
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
            if held.state in ENDS or not lapsed:
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


@dataclass(frozen=True, slots=True)
class Approval:
    """The last decision about a draft, where it approved it."""

    sha256: str
    by: str


def unfit(held: Held, approval: Approval | None, now: Now) -> Unfit | None:
    """Why nothing may be sent by a draft now; None where it may."""
    if held.state not in STANDS or approval is None:
        return "not_approved"
    own = held.is_own(approval.by)
    if approval.sha256 != held.sha256 or own or not held.passes:
        return "not_as_approved"
    return lapse(held, now) or not_begun(now)


# Doing: one transaction a step ----------------------------------------------------------------


async def create(trail: Trail, content: Content, check: Check, *, by: str) -> Draft:
    """Keep a new draft: `checked` where the rules let it pass."""
    draft_id, at = uuid.uuid4().hex, datetime.now(UTC)
    state: State = "checked" if check.passes else "draft"
    async with audit.transaction(trail) as connection:
        await audit.lock(connection)
        await connection.execute(
            insert(offer_drafts).values(
                id=draft_id,
                campaign=content.campaign,
                segment=content.segment,
                channel=content.channel,
                state=state,
                version=1,
                author=by,
                editor=by,
                made_at=at,
                changed_at=at,
            )
        )
        await _add_version(connection, draft_id, 1, content, check, by, at)
        body = _told("created", by, state, 1, content)
        entry = await audit.seal_held(connection, trail.keys, KIND, draft_id, body)
        (draft,) = await _read(connection, [offer_drafts.c.id == draft_id])
    await audit.note_head(trail, entry)
    return draft


async def edit(
    trail: Trail, draft_id: str, content: Content, check: Check, *, by: str, seen: str, now: Now
) -> Draft | Declined:
    """Put another content in the place of one, from which on an approval of it holds no more.

    Raises UnusableContent where it is for another campaign, segment, channel or language.
    """
    step = Step("edited", by, seen, new_sha256=content.sha256, new_passes=check.passes)
    return await _do(trail, draft_id, step, now, put=(content, check))


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
    return await _do(trail, draft_id, Step("submitted", by, seen, comment, answers or {}), now)


async def approve(
    trail: Trail, draft_id: str, *, by: str, seen: str, comment: str = "", now: Now
) -> Draft | Declined:
    """Approve what was looked at; whether `by` has the role is the caller's to know."""
    return await _do(trail, draft_id, Step("approved", by, seen, comment), now)


async def reject(
    trail: Trail, draft_id: str, *, by: str, seen: str, comment: str, now: Now
) -> Draft | Declined:
    """Turn down what was looked at, and say why."""
    return await _do(trail, draft_id, Step("rejected", by, seen, comment), now)


async def withdraw(
    trail: Trail, draft_id: str, *, by: str, seen: str, comment: str = "", now: Now
) -> Draft | Declined:
    """Take a draft back, approved or not."""
    return await _do(trail, draft_id, Step("withdrawn", by, seen, comment), now)


async def export(
    trail: Trail,
    draft_id: str,
    *,
    run_id: str,
    by: str,
    campaign: Campaign,
    rules_version: str,
    today: date,
) -> Draft | Declined | Lapsed:
    """Note that a run sends by a draft whose approval stands; once for each run."""
    found = await standing(
        trail, draft_id, campaign=campaign, rules_version=rules_version, today=today
    )
    if isinstance(found, Lapsed):
        return found
    now = now_of(campaign, found.content, rules_version=rules_version, today=today)
    return await _do(trail, draft_id, Step("exported", by, found.sha256), now, run=run_id)


async def expire(
    trail: Trail,
    campaigns: Mapping[str, Campaign],
    *,
    rules_version: str,
    today: date,
    by: str,
    only: Collection[str] = (),
) -> list[tuple[str, State]]:
    """Void what waits for approval or has it, where campaign, rules or offer are not what they
    were, and end what is over; (id, state after) of what changed.

    only: ids of the drafts that are looked at; empty: all.
    """
    going_on = [state for state in STATES if state not in ENDS]
    changed: list[tuple[str, State]] = []
    after = ""
    while True:
        async with trail.engine.connect() as connection:
            some = await _read(
                connection,
                [
                    offer_drafts.c.state.in_(going_on),
                    offer_drafts.c.id > after,
                    *([offer_drafts.c.id.in_(only)] if only else []),
                ],
                order=[offer_drafts.c.id],
                limit=MOST_LISTED,
            )
        if not some:
            return changed
        after = some[-1].id
        for draft in some:
            now = now_of(
                campaigns.get(draft.content.campaign),
                draft.content,
                rules_version=rules_version,
                today=today,
            )
            if reason := lapse(held_of(draft), now):
                action: Action = "expired" if reason == "ended" else "voided"
                done = await _do(
                    trail, draft.id, Step(action, by, draft.sha256), now, reason=reason
                )
                if isinstance(done, Draft):
                    changed.append((draft.id, done.state))


async def _do(
    trail: Trail,
    draft_id: str,
    step: Step,
    now: Now,
    *,
    put: tuple[Content, Check] | None = None,
    **more: str,
) -> Draft | Declined:
    """Make a step, or say why it is not made. What was changed outside of the steps is not gone on
    with: a new entry of the chain would hold it as if it were right."""
    at = datetime.now(UTC)
    async with audit.transaction(trail) as connection:
        await audit.lock(connection)
        entries = await audit.held_as_entered(connection, trail.keys, KIND, draft_id)
        if not entries:
            return Declined(await _why_not_there(connection, draft_id))
        (draft,) = await _read(connection, [offer_drafts.c.id == draft_id])
        held = held_of(draft)
        outcome = decide(held, step, now)
        if outcome not in STATES:
            last = (await _steps(connection, trail, draft_id))[-1:]
            rules = unanswered(held, step) if outcome == "answer_needed" else ()
            return Declined(cast("Declining", outcome), draft, last[0] if last else None, rules)
        number, content = draft.version, draft.content
        if put is not None:
            number, content = number + 1, put[0]
            _same_place(draft.content, content)
            await _add_version(connection, draft_id, number, *put, step.by, at)
        await connection.execute(
            update(offer_drafts)
            .where(offer_drafts.c.id == draft_id)
            .values(
                state=outcome,
                version=number,
                changed_at=at,
                **({"editor": step.by} if put is not None else {}),
            )
        )
        body = _told(step.action, step.by, outcome, number, content)
        if step.comment.strip():
            body["comment"] = step.comment.strip()
        if step.answers:
            body["answers"] = {rule: said for rule, said in step.answers.items() if said.strip()}
        entry = await audit.seal_held(connection, trail.keys, KIND, draft_id, {**body, **more})
        (draft,) = await _read(connection, [offer_drafts.c.id == draft_id])
    await audit.note_head(trail, entry)
    return draft


def _told(action: Action, by: str, state: State, version: int, content: Content) -> dict[str, Any]:
    return {
        "action": action,
        "by": by,
        "state": state,
        "version": version,
        "sha256": content.sha256,
    }


def _same_place(before: Content, after: Content) -> None:
    for name in ("campaign", "segment", "channel", "locale", "variant"):
        if getattr(before, name) != getattr(after, name):
            raise UnusableContent(f"{name}: expected {getattr(before, name)!r}")


async def _add_version(
    connection: AsyncConnection,
    draft_id: str,
    number: int,
    content: Content,
    check: Check,
    by: str,
    at: datetime,
) -> None:
    await connection.execute(
        insert(offer_versions).values(
            draft_id=draft_id,
            number=number,
            content=content_text(content),
            review=audit.canonical(asdict(check)),
            by=by,
            at=at,
        )
    )


# The send gate --------------------------------------------------------------------------------


async def standing(
    trail: Trail, draft_id: str, *, campaign: Campaign | None, rules_version: str, today: date
) -> Approved | Lapsed:
    """Whether something may be sent by a draft now. The one way past is a genuine approval in the
    audit chain of this very content, which nothing but exports came after, whose rows are as they
    were entered, by another than wrote it, for this campaign, these rules and this day."""
    async with trail.engine.connect() as connection:
        entries = await audit.held_as_entered(connection, trail.keys, KIND, draft_id)
        if not entries:
            return Lapsed(await _why_not_there(connection, draft_id))
        if not await audit.whole_after(connection, entries[0].seq):
            # A withdrawal may be what is missing.
            return Lapsed("tampered")
        # What was changed since is another content than was approved, or no draft at all.
        found = await _read(connection, [offer_drafts.c.id == draft_id])
    if not found:
        return Lapsed("tampered")
    (draft,) = found
    told = [json.loads(entry.body) for entry in entries]
    decided = next((n for n in reversed(range(len(told))) if told[n]["action"] != "exported"), 0)
    approval = (
        Approval(told[decided]["sha256"], told[decided]["by"])
        if told[decided]["action"] == "approved"
        else None
    )
    now = now_of(campaign, draft.content, rules_version=rules_version, today=today)
    if reason := unfit(held_of(draft), approval, now):
        return Lapsed(reason)
    assert approval is not None
    entry = entries[decided]
    return Approved(
        draft.id,
        draft.content,
        draft.check,
        draft.sha256,
        approval.by,
        entry.at,
        entry.seq,
    )


async def _why_not_there(
    connection: AsyncConnection, draft_id: str
) -> Literal["tampered", "unknown_draft"]:
    """Why there is no draft of this id that is as it was entered."""
    for column in (offer_drafts.c.id, audit_entries.c.subject):
        if await connection.scalar(select(column).where(column == draft_id).limit(1)):
            return "tampered"
    return "unknown_draft"


# Reading --------------------------------------------------------------------------------------


def held_of(draft: Draft) -> Held:
    content = draft.content
    return Held(
        draft.state,
        draft.author,
        draft.editor,
        draft.sha256,
        content.campaign_version,
        content.rules_version,
        draft.check.passes,
        draft.check.open_rules,
        draft.writers,
    )


async def read_draft(engine: AsyncEngine, draft_id: str) -> Draft | None:
    """Raises BrokenDraft."""
    async with engine.connect() as connection:
        found = await _read(connection, [offer_drafts.c.id == draft_id])
    return found[0] if found else None


async def list_drafts(
    engine: AsyncEngine,
    *,
    campaign: str = "",
    states: Collection[State] = (),
    offset: int = 0,
    limit: int = 50,
) -> tuple[list[Draft], int]:
    """Drafts of a page, the last changed first, and how many there are. Raises BrokenDraft."""
    wanted: list[ColumnElement[bool]] = []
    if campaign:
        wanted.append(offer_drafts.c.campaign == campaign)
    if states:
        wanted.append(offer_drafts.c.state.in_(states))
    async with engine.connect() as connection:
        total = await connection.scalar(
            select(func.count()).select_from(offer_drafts).where(*wanted)
        )
        found = await _read(
            connection,
            wanted,
            order=[offer_drafts.c.changed_at.desc(), offer_drafts.c.id],
            offset=offset,
            limit=limit,
        )
    return found, total or 0


async def count_states(engine: AsyncEngine) -> Mapping[str, Mapping[State, int]]:
    """Campaign -> state -> drafts."""
    query = select(offer_drafts.c.campaign, offer_drafts.c.state, func.count()).group_by(
        offer_drafts.c.campaign, offer_drafts.c.state
    )
    found: dict[str, dict[State, int]] = {}
    async with engine.connect() as connection:
        for campaign, state, n in await connection.execute(query):
            found.setdefault(campaign, {})[state] = n
    return found


async def history(trail: Trail, draft_id: str) -> list[HistoryStep]:
    """What was done to a draft, oldest first."""
    async with trail.engine.connect() as connection:
        return await _steps(connection, trail, draft_id)


async def versions(engine: AsyncEngine, draft_id: str) -> list[Version]:
    """Oldest first. Raises BrokenDraft."""
    query = (
        select(offer_versions, staff.c.name)
        .outerjoin(staff, staff.c.id == offer_versions.c.by)
        .where(offer_versions.c.draft_id == draft_id)
        .order_by(offer_versions.c.number)
    )
    async with engine.connect() as connection:
        return [
            Version(
                row.number,
                _content(draft_id, row.content),
                _check(draft_id, row.review),
                row.by,
                row.name or "",
                as_utc(row.at),
            )
            for row in await connection.execute(query)
        ]


async def _steps(connection: AsyncConnection, trail: Trail, draft_id: str) -> list[HistoryStep]:
    rows = await connection.execute(
        select(audit_entries)
        .where(audit_entries.c.subject == draft_id, audit_entries.c.kind == KIND)
        .order_by(audit_entries.c.seq)
    )
    entries = [Entry(**row._mapping) for row in rows]
    told = [json.loads(entry.body) for entry in entries]
    names = await connection.execute(
        select(staff.c.id, staff.c.name).where(staff.c.id.in_({body["by"] for body in told}))
    )
    by_id: dict[str, str] = {row.id: row.name for row in names}
    return [
        HistoryStep(
            entry.seq,
            entry.at,
            body["action"],
            body["by"],
            by_id.get(body["by"], body["by"]),
            body["state"],
            body["version"],
            body["sha256"],
            body.get("comment", ""),
            body.get("answers", {}),
            body.get("reason", ""),
            audit.is_genuine(trail.keys, entry),
        )
        for entry, body in zip(entries, told, strict=True)
    ]


async def _read(
    connection: AsyncConnection,
    wanted: Sequence[ColumnElement[bool]],
    *,
    order: Sequence[Any] = (),
    offset: int = 0,
    limit: int = MOST_LISTED,
) -> list[Draft]:
    author, editor = staff.alias("author"), staff.alias("editor")
    query = (
        select(
            offer_drafts,
            offer_versions.c.content,
            offer_versions.c.review,
            author.c.name.label("author_name"),
            editor.c.name.label("editor_name"),
        )
        .outerjoin(
            offer_versions,
            (offer_versions.c.draft_id == offer_drafts.c.id)
            & (offer_versions.c.number == offer_drafts.c.version),
        )
        .outerjoin(author, author.c.id == offer_drafts.c.author)
        .outerjoin(editor, editor.c.id == offer_drafts.c.editor)
        .where(*wanted)
        .order_by(*order)
        .offset(offset)
        .limit(limit)
    )
    try:
        rows = list(await connection.execute(query))
    except ValueError as error:
        raise BrokenDraft("an instant that is none") from error
    wrote: dict[str, set[str]] = {row.id: set() for row in rows}
    written = select(offer_versions.c.draft_id, offer_versions.c.by).where(
        offer_versions.c.draft_id.in_(wrote)
    )
    for draft_id, by in await connection.execute(written.distinct()):
        wrote[draft_id].add(by)
    return [
        Draft(
            row.id,
            row.state,
            row.version,
            _content(row.id, row.content),
            _check(row.id, row.review),
            row.author,
            row.author_name or "",
            row.editor,
            row.editor_name or "",
            as_utc(row.made_at),
            as_utc(row.changed_at),
            frozenset(wrote[row.id]),
        )
        for row in rows
    ]


def content_text(content: Content) -> str:
    """The one text of a content, which is stored and hashed."""
    return audit.canonical(asdict(content))


def _content(draft_id: str, text: str | None) -> Content:
    try:
        held: dict[str, Any] = json.loads(text or "")
        days = {
            name: date.fromisoformat(held[name]) if held[name] else None
            for name in ("coupon_from", "coupon_to")
        }
        return Content(**{**held, **days, "slots": tuple(held["slots"])})
    except (ValueError, TypeError, KeyError) as error:
        raise BrokenDraft(draft_id) from error


def _check(draft_id: str, text: str | None) -> Check:
    try:
        held: dict[str, Any] = json.loads(text or "")
        as_tuples = {n: tuple(held[n]) for n in ("findings", "unchecked", "attributes")}
        return Check(**{**held, **as_tuples})
    except (ValueError, TypeError, KeyError) as error:
        raise BrokenDraft(draft_id) from error


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


# The decision sheet --------------------------------------------------------------------------


def sheet(
    draft: Draft,
    steps: Sequence[HistoryStep],
    written: Sequence[Version],
    *,
    lender: str,
    campaign: str,
    lapsed: str,
    locale: str,
) -> str:
    """All that a decision about a draft rests on, as a page of its own that can be printed.

    campaign: its title. lapsed: why nothing may be sent by the draft now; empty: it may.
    """
    return page(
        "decision",
        words=page_words("decision", locale),
        locale=locale,
        lender=lender,
        campaign=campaign,
        draft=draft,
        content=draft.content,
        check=draft.check,
        lapsed=lapsed,
        steps=steps,
        answered=answered(steps, written),
        offer=_offer_rows(draft.check.calculation),
    )


def answered(steps: Sequence[HistoryStep], written: Sequence[Version]) -> list[dict[str, Any]]:
    """Every finding of every version, with the answer to it: what was said when that version was
    submitted, or the version from which on it is gone."""
    rows: list[dict[str, Any]] = []
    for place, version in enumerate(written):
        said = [s for s in steps if s.version == version.number and s.action == "submitted"]
        for finding in version.check.findings:
            rule = str(finding["rule"])
            gone = next(
                (v.number for v in written[place + 1 :] if rule not in v.check.open_rules), None
            )
            answer = next((s.answers[rule] for s in said if rule in s.answers), "")
            answer = answer or next((s.comment for s in said if s.comment), "")
            rows.append(
                {
                    "version": version.number,
                    "finding": finding,
                    "answer": answer,
                    "gone_in": gone,
                    "by": said[-1].by_name if said and answer else "",
                }
            )
    return rows


def _offer_rows(calculation: Mapping[str, Any]) -> dict[str, Any]:
    """What the sheet shows of how the coupon was chosen."""
    found = calculation.get("calculation", {})
    return {
        "coupon": calculation.get("coupon", ""),
        "saving_cny": calculation.get("saving_cny", ""),
        "loan": dict(found.get("inputs", {}).get("loan", {})),
        "cost_before_cny": found.get("cost_before_cny", ""),
        "cost_cny": found.get("cost_cny", ""),
        "annual": dict(found.get("annual") or {}),
        "instalments": list(found.get("instalments", ())),
        "formula": list(found.get("formula", ())),
        "others": list(calculation.get("others", ())),
        "left_out": list(calculation.get("left_out", ())),
    }
