"""Drafts of an offer: for one customer, or for a segment, on each channel, in several ideas.

Who may be addressed is asked first, then which coupon saves most; the model writes bodies with
slots, never a figure; what a message has to carry is put in from data, and the rules judge it as it
will go out. What they do not let pass is written once more, then a curated template takes its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from .compliance import Finding, Verdict, source_as_json
from .models import Locale
from .rules import Channel

if TYPE_CHECKING:
    from .addressing import Refusal
    from .best_offer import Best
    from .campaigns import Campaign, CampaignCoupon, Draw, Segment
    from .people import Person

PLAIN = "plain"
"""Segment of the alternative that knows nothing of the customer."""

MadeBy = Literal["model", "template"]


@dataclass(frozen=True, slots=True)
class Brief:
    """What is to be drafted, for whom, and for when."""

    campaign: Campaign
    channels: tuple[Channel, ...]
    at: datetime
    """When it is to go out; decides quiet hours, dates, and the rules of which day."""
    segment: Segment | None = None
    """None: everybody, so that nothing is personalised."""
    customer: Person | None = None
    """One customer; None: a segment."""
    variants: int = 3
    ideas: tuple[str, ...] = ()
    """Ids of knowledge/copy/ideas.toml; empty: the first ones."""
    wish: str = ""
    """What the marketer asks for besides, in a line; material, never an instruction."""
    locale: Locale = "zh-Hans"


@dataclass(frozen=True, slots=True)
class Copy:
    """A draft of a text on a channel.

    What goes out is `whole` with its slots filled: the disclosures stand around the template, and
    an edit of the template leaves them as they are.
    """

    channel: Channel
    segment: str
    """Id of the segment; PLAIN for the alternative that is not personalised."""
    variant: int
    """From 1; the alternative that is not personalised is 0."""
    idea: str
    template: str
    """The body, with slots and without a figure of its own."""
    subject: str
    """Subject of a mail, title of a push, card or poster, with slots; empty where there is none."""
    opening: str
    """Disclosures before the body, from data, such as 【lender】."""
    closing: str
    """Disclosures after it: annual rate, caveat, reminder, the way out."""
    slots: tuple[str, ...]
    """Of template and subject, in order."""
    values: Mapping[str, str]
    """What stands in the slots of the sample; but for `name` the same for everybody."""
    sample: str
    """The whole message as somebody gets it."""
    sample_subject: str
    findings: tuple[Finding, ...]
    verdict: Verdict
    made_by: MadeBy
    repaired: bool
    """Whether the model had to write it once more."""
    turned_down: tuple[str, ...]
    """Why what the model wrote was not taken, as codes; empty where its first text was."""
    prompt_version: str
    model: str
    """Who wrote it; empty for a template."""
    locale: Locale = "zh-Hans"

    @property
    def whole(self) -> str:
        return f"{self.opening}{self.template}{self.closing}"


@dataclass(frozen=True, slots=True)
class Drafted:
    """Drafts, and what they were made from."""

    copies: tuple[Copy, ...]
    """By channel, then variant; the alternative that is not personalised first."""
    coupon: CampaignCoupon | None
    draw: Draw | None
    best: Best | None
    """Why this coupon; None where there is a draw instead."""
    attributes: tuple[str, ...]
    """What was known of the customer or segment when the offer was chosen."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Nobody may be addressed so; all reasons, the most serious first."""

    refusals: tuple[Refusal, ...]

    @property
    def reason(self) -> str:
        return self.refusals[0].reason


def copy_as_json(copy: Copy) -> dict[str, Any]:
    """A draft as commands and HTTP give it, without its id."""
    return {
        "channel": copy.channel,
        "segment": copy.segment,
        "variant": copy.variant,
        "idea": copy.idea,
        "subject": copy.sample_subject,
        "text": copy.sample,
        "template": copy.template,
        "template_subject": copy.subject,
        "opening": copy.opening,
        "closing": copy.closing,
        "slots": {slot: copy.values[slot] for slot in copy.slots if slot in copy.values},
        "verdict": copy.verdict,
        "findings": [
            {
                "rule": finding.rule.id,
                "title": finding.rule.title_zh,
                "severity": finding.severity,
                "span": list(finding.span),
                "text": finding.text,
                "source": source_as_json(finding.rule),
                "suggestion": finding.rule.suggestion_zh,
            }
            for finding in copy.findings
        ],
        "made_by": copy.made_by,
        "repaired": copy.repaired,
        "turned_down": list(copy.turned_down),
        "prompt_version": copy.prompt_version,
        "model": copy.model,
        "locale": copy.locale,
    }
