"""The agent pipeline: beside who holds a conversation, what may be said next, on what it rests, and
how the matter is closed.

Replies come from `answer`: the same evidence, tools and gate, with the rules of what agents write.
Whose record is read follows from the verified identity of the case alone. What next steps there
are, their wording and order are data: copilot.toml.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal

from .deps import Deps
from .models import Event, Locale
from .rules import Channel
from .transcripts import Turn

Task = Literal["agent", "collections"]


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

    @property
    def verified(self) -> bool:
        return bool(self.customer_id)


async def suggest(case: Case, deps: Deps, staff_id: str = "") -> AsyncGenerator[Event, None]:
    """What to answer to the borrower's last message. Events, in this order but for `next`, which
    comes when it is ready:

    `evidence`, `calculation`, `citation`: what is known, before a model was asked; each clause with
    `internal`, where borrowers must not read it.
    `sentence`: of the suggested reply, as it passed the gate: `text`, `kind`, `citations`,
    `internal` (a note for the agent, no part of the reply), `verdict`, `findings`.
    `alternatives`: `short` and `detailed`, each with `text`, `verdict`, `findings`.
    `next`: as `next_actions`.
    `done`: `suggestion_id`, `text`, `status`, `model`, `model_down`, `note`, `release`,
    `rules_version`, `timings`. Faults are told by `error` with a trace id.
    """
    raise NotImplementedError
    yield


async def next_actions(case: Case, deps: Deps) -> Mapping[str, Any]:
    """Next steps by data, without a model: `actions` (`id`, `title`, `reason`, `priority`,
    `allowed`, `why_not`, `source`, `script`, `due_at`), `tone`, `verified`."""
    raise NotImplementedError


async def card(case: Case, deps: Deps, roles: frozenset[str]) -> Mapping[str, Any]:
    """The customer, masked by role: as CardBody of the API."""
    raise NotImplementedError


async def wrap_up(case: Case, deps: Deps, *, model: bool = False) -> Mapping[str, Any]:
    """How the conversation could be closed: `summary`, `reason`, `promises`, `flags`,
    `next_contact`, `model`. model: whether one may write the summary; else it is put together."""
    raise NotImplementedError


async def summary(case: Case, deps: Deps, *, model: bool = False) -> Mapping[str, Any]:
    """What was said so far: `summary`, `products`, `topics`, `figures`, `model`."""
    raise NotImplementedError


async def check_draft(case: Case, deps: Deps, text: str) -> Mapping[str, Any]:
    """An agent's words by the rules of the case's task: as compliance.review_as_json. Raises
    CardNumber where they hold a full card number."""
    raise NotImplementedError


async def scripts(case: Case, deps: Deps) -> list[Mapping[str, Any]]:
    """Scripts of the task, filled from the record and the data, each checked by the rules."""
    raise NotImplementedError


class CardNumber(Exception):
    """A text of staff holds a full card number, which is not taken."""
