"""Drafts of an offer: for one customer, or for a segment, on each channel, in several ideas.

Who may be addressed is asked first, then which coupon saves most; the model writes bodies with
slots, never a figure; what a message has to carry is put in from data, and the rules judge it as it
will go out. What they do not let pass is written once more; then a curated text takes its place.

Ideas, tone, curated texts and terms are in knowledge/copy/; docs/copy.md tells how to change them.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import structlog

from knowledge.documents import Clause
from knowledge.terms import Terms, stated
from prompts.render import Prompt, examples, page, render, version_of

from . import templates
from .addressing import Bounds, Occasion, Refusal, bounds_of, context_of, refusals
from .best_offer import Best, best
from .campaigns import Campaign, CampaignCoupon, Draw, figures, odds_words, unproven
from .compliance import RANK, Finding, Given, Unchecked, Verdict, review_given, source_as_json
from .elements import Channels, Facts, append_required
from .llm import ChatModel, Message, ModelError, ModelGarbled, ModelUnavailable
from .models import Locale
from .people import Person
from .rules import Channel, RulePack
from .segments import PLAIN, Segment, matches, used
from .templates import BadTemplate, BadValue, Fit

if TYPE_CHECKING:
    from .deps import Deps

FOLDER = Path(__file__).parent.parent / "knowledge" / "copy"

MadeBy = Literal["model", "template"]
Kind = Literal["rate", "interest_free", "voucher", "draw"]
"""What is offered: a coupon of a kind, or a draw."""

SENDABLE: frozenset[Verdict] = frozenset({"pass", "warn"})
MOST_VARIANTS = 4
TOKENS = 200
"""Of one draft; beyond it the answer is cut off and of no use."""

log = structlog.get_logger()


class NothingToOffer(Exception):
    """The campaign has no coupon and no draw for that day; the message says which day."""


# What is asked for, and what comes of it ------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Brief:
    """What is to be drafted, for whom, and for when."""

    campaign: Campaign
    channels: tuple[Channel, ...]
    at: datetime
    """When it is to go out; decides quiet hours, dates, and the rules of which day."""
    segment: Segment = PLAIN
    """Of a customer, where one is given: left plain, the first of the campaign's that they are
    in."""
    customer: Person | None = None
    """One customer; None: a segment."""
    variants: int = 3
    ideas: tuple[str, ...] = ()
    """Ids of knowledge/copy/ideas.toml; empty: the first ones."""
    wish: str = ""
    """What the marketer asks for besides, in a line; material, never an instruction."""
    locale: Locale = "zh-Hans"
    offer: str = ""
    """Id of a coupon or draw of the campaign; empty: the coupon that saves most, else a draw."""
    synthetic: bool = False
    """Whether a call is spoken by a machine."""
    contacted: frozenset[str] = frozenset()
    """Ids of customers whom the campaign has reached before."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a text beside the rules."""

    code: str
    """A key of [problems] in knowledge/copy/words.toml."""
    said: str
    severity: Literal["fix", "block"]


@dataclass(frozen=True, slots=True)
class Copy:
    """A draft of a text on a channel.

    What goes out is `whole` with its slots filled: the disclosures stand around the template, and
    an edit of the template leaves them as they are.
    """

    channel: Channel
    segment: str
    """Id of the segment; `plain` for the alternative that is not personalised."""
    personalised: bool
    variant: int
    """From 1, by channel and segment."""
    idea: str
    offer: str
    """Id of the coupon or draw."""
    template: str
    """The body, with slots and without a figure of its own."""
    subject: str
    """Subject of a mail, title of a push, card or poster, with slots; empty where there is none."""
    opening: str
    """Disclosures before the body, from data, such as the lender's name."""
    closing: str
    """Terms and disclosures after it, from data: annual rate, caveat, reminder, the way out."""
    slots: tuple[str, ...]
    """Of template and subject, in order."""
    values: Mapping[str, str]
    """What stands in the slots for every customer; `name` is each customer's own."""
    sample: str
    """The message as somebody gets it."""
    sample_subject: str
    findings: tuple[Finding, ...]
    """Spans are places in `judged`."""
    problems: tuple[Problem, ...]
    unchecked: tuple[Unchecked, ...]
    verdict: Verdict
    fit: Fit
    made_by: MadeBy = "template"
    repaired: bool = False
    """Whether the model had to write it once more."""
    turned_down: tuple[str, ...] = ()
    """Why what the model wrote was not taken, once for each time, as codes of [reasons] or ids of
    rules."""
    prompt_version: str = ""
    model: str = ""
    """Who wrote it; empty for a curated text."""
    locale: Locale = "zh-Hans"

    @property
    def whole(self) -> str:
        return f"{self.opening}{self.template}{self.closing}"

    @property
    def judged(self) -> str:
        """What the rules were given."""
        return _judged(self.sample_subject, self.sample)

    @property
    def sendable(self) -> bool:
        return self.verdict in SENDABLE


@dataclass(frozen=True, slots=True)
class Drafted:
    """Drafts, and what they were made from."""

    copies: tuple[Copy, ...]
    """By channel, the alternative that is not personalised first, then by variant."""
    coupon: CampaignCoupon | None
    draw: Draw | None
    best: Best | None
    """Why this coupon; None where there is a draw instead."""
    attributes: tuple[str, ...]
    """What was used of the customer or segment to choose who gets it."""
    refused: Mapping[Channel, tuple[Refusal, ...]] = field(default_factory=dict)
    """Channels on which nothing personalised may be sent, or nothing at all."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Nobody may be addressed so; all reasons, the most serious first."""

    refusals: tuple[Refusal, ...]

    @property
    def reason(self) -> str:
        return self.refusals[0].reason


# Data -----------------------------------------------------------------------------------------


@cache
def _table(name: str) -> Mapping[str, Any]:
    return tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True)
class Idea:
    id: str
    title: Mapping[Locale, str]
    brief: str
    openers: tuple[str, ...]
    """What a small model begins with; none: whatever it likes."""
    occasion: bool
    """Whether the model is told what the campaign is about."""


@cache
def ideas() -> Mapping[str, Idea]:
    """What drafts may be about, in the order in which they are tried."""
    return {
        row["id"]: Idea(
            row["id"],
            row["title"],
            row["brief"],
            tuple(row.get("openers", ())),
            row.get("occasion", False),
        )
        for row in _table("ideas")["ideas"]
    }


@dataclass(frozen=True, slots=True)
class Curated:
    """A text that goes out where no model writes one."""

    kind: Kind
    idea: str
    text: str
    subject: str
    bare: bool
    """Whether it carries what a message has to carry itself."""


@cache
def curated(channel: Channel, locale: Locale) -> tuple[Curated, ...]:
    """The texts of a channel in a language, as they stand in its file."""
    return tuple(
        Curated(
            row["kind"],
            row["idea"],
            row["text"][locale],
            row.get("subject", {}).get(locale, ""),
            row.get("bare", False),
        )
        for row in _table(f"templates/{channel}").get("templates", ())
        if locale in row["text"]
    )


# What a text is judged with -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ground:
    """All that a text is put together and judged with; the same for every draft of a place."""

    pack: RulePack
    campaign: Campaign
    coupon: CampaignCoupon | None
    draw: Draw | None
    channel: Channel
    segment: Segment
    personalised: bool
    locale: Locale
    on: date
    values: Mapping[str, str]
    opening: str
    closing: str
    stop: str
    """What ends a sentence."""
    context: Mapping[str, Any]
    name: str
    """Stands in the sample for the customer's name."""
    complete: bool
    """Whether clauses in force state the terms of the offer."""
    proven: bool
    """Whether clauses in force say what its coupons do."""

    @property
    def offer(self) -> str:
        chosen = self.coupon or self.draw
        return chosen.id if chosen else ""

    @property
    def kind(self) -> Kind:
        return self.coupon.kind if self.coupon else "draw"

    @property
    def must(self) -> str:
        """The slot that says what is offered."""
        return "coupon" if self.coupon else "draw"


async def ground_of(
    deps: Deps,
    campaign: Campaign,
    channel: Channel,
    *,
    offer: str,
    at: datetime,
    segment: Segment = PLAIN,
    personalised: bool | None = None,
    customer: Person | None = None,
    locale: Locale = "zh-Hans",
    synthetic: bool = False,
) -> Ground:
    """What a draft on a channel is put together and judged with, as clauses in force state it.

    offer: id of a coupon or draw of the campaign.
    personalised: left out, whether the segment uses anything of a customer.
    Raises KeyError for an offer that the campaign does not have.
    """
    bounds = bounds_of(deps.rules)
    on = at.astimezone(bounds.zone).date()
    bare = await unproven_in(deps, campaign, on)
    return make_ground(
        deps.rules,
        deps.channels,
        await deps.facts(on),
        campaign,
        channel,
        offer=offer,
        at=at,
        other_fees=_other_fees(deps.front.terms, await deps.clauses(), campaign, offer, on),
        segment=segment,
        personalised=segment.personalised if personalised is None else personalised,
        customer=customer,
        bounds=bounds,
        locale=locale,
        synthetic=synthetic,
        proven=not bare & _coupons_of(campaign, offer),
    )


async def unproven_in(deps: Deps, campaign: Campaign, on: date) -> frozenset[str]:
    """Ids of a campaign's coupons that no clause in force on a day bears out; nobody is offered
    them."""
    found = unproven(campaign, deps.front.terms, await deps.clauses(), on)
    return frozenset(each.coupon for each in found)


def _coupons_of(campaign: Campaign, offer: str) -> frozenset[str]:
    """What an offer may give: a coupon, or the prizes of a draw."""
    draw = next((draw for draw in campaign.draws if draw.id == offer), None)
    return frozenset(prize.coupon for prize in draw.prizes) if draw else frozenset({offer})


def make_ground(
    pack: RulePack,
    channels: Channels,
    facts: Facts,
    campaign: Campaign,
    channel: Channel,
    *,
    offer: str,
    at: datetime,
    other_fees: str,
    bounds: Bounds,
    segment: Segment = PLAIN,
    personalised: bool = False,
    customer: Person | None = None,
    locale: Locale = "zh-Hans",
    synthetic: bool = False,
    proven: bool = True,
) -> Ground:
    """As `ground_of`, with what it looks up.

    other_fees: what clauses say of fees beside interest: `none`, or empty where nothing is said.
    """
    on = at.astimezone(bounds.zone).date()
    draw = next((draw for draw in campaign.draws if draw.id == offer), None)
    coupon = None if draw else campaign.coupon(offer)
    values = slot_values(campaign, coupon, draw, facts, channels, on, locale)
    occasion = Occasion(channel, "marketing", personalised, at, campaign)
    context = _context(occasion, coupon, draw, customer, bounds, other_fees)
    kind: Kind = coupon.kind if coupon else "draw"
    terms = _terms(kind, channel, values, {"other_fees": other_fees}, locale)
    opening, closing = _frame(pack, channels, facts, channel, context, on, values, locale)
    if synthetic and channel == "call_script":
        opening = _filled(_table("conditions")["spoken_cue"][locale], values) or opening
    form, language = channels.forms[channel], channels.languages[locale]
    return Ground(
        pack=pack,
        campaign=campaign,
        coupon=coupon,
        draw=draw,
        channel=channel,
        segment=segment,
        personalised=personalised,
        locale=locale,
        on=on,
        values=values,
        opening=opening,
        closing=f"{form.apart or language.apart}{terms}{closing}",
        stop=language.stop,
        context=context,
        name=_sample_name(customer, locale),
        complete=bool(terms),
        proven=proven,
    )


def slot_values(
    campaign: Campaign,
    coupon: CampaignCoupon | None,
    draw: Draw | None,
    facts: Facts,
    channels: Channels,
    on: date,
    locale: Locale,
) -> dict[str, str]:
    """What stands in every slot but the customer's name; slots without a value are left out.

    Rates are told only where clauses in force state those of every product of the offer.
    """
    values: dict[str, str] = {"lender": facts.lender.name, "short": facts.lender.short_name}
    values["link"] = campaign.terms_link
    first, last = (campaign.starts_on, campaign.ends_on)
    products: tuple[str, ...] = ()
    if coupon:
        values |= figures(coupon, locale)
        values["coupon"] = coupon.title[locale]
        first, last, products = coupon.valid_from, coupon.valid_to, (coupon.product,)
        found = best([coupon], campaign.representative, max(on, coupon.valid_from), locale=locale)
        loan = campaign.representative.get(coupon.product)
        if found and loan and loan.terms and loan.annual_rate:
            # What is saved holds at this rate alone, which stands beside it wherever it is told.
            values["loan"] = templates.say(
                "loan",
                locale,
                principal=templates.say_money(loan.principal_cny, locale),
                n=str(loan.terms),
                rate=f"{(loan.annual_rate * 100).normalize():f}%",
            )
            values["saving"] = templates.say_money(found.saving_cny, locale)
    elif draw:
        values["draw"] = draw.title[locale]
        values["prizes"] = odds_words(campaign, draw, locale)
        prizes = [campaign.coupon(prize.coupon) for prize in draw.prizes]
        products = tuple(dict.fromkeys(prize.product for prize in prizes))
        values |= _days(first, last, prizes[0], locale)
    values["since"] = templates.say_day(first, locale)
    values["until"] = templates.say_day(last, locale)
    rates = {rate.product: rate for rate in facts.rates}
    if products and all(product in rates for product in products):
        language = channels.languages[locale]
        known = [rates[product] for product in products]
        values["cost"] = language.rates_apart.join(
            language.rate.format(name=rate.name, least=rate.least, most=rate.most) for rate in known
        )
        least = min(known, key=lambda rate: Decimal(rate.least.rstrip("%"))).least
        most = max(known, key=lambda rate: Decimal(rate.most.rstrip("%"))).most
        values["rates"] = templates.say("rates", locale, least=least, most=most)
        if len(known) == 1:
            values["product"] = known[0].name
    return values


def _days(first: date, last: date, like: CampaignCoupon, locale: Locale) -> dict[str, str]:
    """The days of a draw, said as those of a coupon are."""
    said = figures(replace(like, valid_from=first, valid_to=last), locale)
    return {"valid_from": said["valid_from"], "valid_to": said["valid_to"]}


def _context(
    occasion: Occasion,
    coupon: CampaignCoupon | None,
    draw: Draw | None,
    customer: Person | None,
    bounds: Bounds,
    other_fees: str,
) -> Mapping[str, Any]:
    """What the rules are told; of somebody who may be addressed, where it is for a segment."""
    campaign = occasion.campaign
    said: dict[str, Any] = {
        "at": occasion.at,
        "consent": True,
        "opted_out": False,
        "sent_this_week": 0,
        "calls_this_week": 0,
        "customer.student": False,
        "customer.age": bounds.adult_from_age,
        "customer.hardship": False,
        "personalised": occasion.personalised,
    }
    if customer is not None:
        said |= context_of(customer, occasion, bounds)
    said |= {
        "complete": True,
        # A last day that is told is that of the coupon.
        "campaign.ends_on": coupon.valid_to if coupon else campaign.ends_on,
        "own_platform": True,
        "label_shown": True,
        "made_by_ai": True,
        "link_domains_allowed": (urlsplit(campaign.terms_link).hostname or "",),
    }
    stock = coupon.stock if coupon else sum(prize.stock for prize in draw.prizes) if draw else None
    if stock is not None:
        said["campaign.stock"] = stock
    if draw:
        prizes = [campaign.coupon(prize.coupon) for prize in draw.prizes]
        said["campaign.max_prize_cny"] = max(
            (prize.amount_cny or Decimal(0) for prize in prizes), default=Decimal(0)
        )
    if other_fees == "none":
        said["other_fees"] = False
    return said


def _terms(
    kind: Kind, channel: Channel, values: Mapping[str, str], claims: Mapping[str, str], locale: str
) -> str:
    """The terms of the offer; empty where no clause in force states them."""
    for row in _table("conditions")["conditions"]:
        if kind in row["kinds"] and channel in row["channels"]:
            held = all(claims.get(name) == value for name, value in row.get("claims", {}).items())
            text = _filled(row[locale], values) if held else None
            if text is not None:
                return text
    return ""


def _filled(text: str, values: Mapping[str, str]) -> str | None:
    """None where a slot has no value."""
    try:
        return templates.fill(templates.parse(text), values)
    except BadValue as error:
        if error.slot in values:
            raise
        return None


def _frame(
    pack: RulePack,
    channels: Channels,
    facts: Facts,
    channel: Channel,
    context: Mapping[str, Any],
    on: date,
    values: Mapping[str, str],
    locale: Locale,
) -> tuple[str, str]:
    """What a message has to carry before and after its own words.

    It is found on a text that says nothing, so that no word of a draft can stand in for it: the
    rules take a `no other fees` for a way out, for one.
    """
    text = f"{values['short'][:1]}{channels.languages[locale].stop}"
    given = Given(text, "marketing", channel, context, on)
    whole = append_required(pack, channels, given, facts, locale).text
    opening, _, closing = whole.partition(text)
    return opening, closing


def _sample_name(customer: Person | None, locale: str) -> str:
    if customer is not None:
        return templates.name_or_instead(customer.name, locale)
    return templates.slots()["name"].example[locale]


def _other_fees(
    terms: Terms | None, clauses: Sequence[Clause], campaign: Campaign, offer: str, on: date
) -> str:
    """What clauses in force say of fees, where they say the same of every product of the offer."""
    draw = next((draw for draw in campaign.draws if draw.id == offer), None)
    coupons = [campaign.coupon(p.coupon) for p in draw.prizes] if draw else [campaign.coupon(offer)]
    said = set()
    for product in {coupon.product for coupon in coupons}:
        found = stated(terms, clauses, "other_fees", product=product, signed=on, on=on)
        said.add(found.term.value if found else "")
    return said.pop() if len(said) == 1 else ""


# Judging --------------------------------------------------------------------------------------


def judge(
    ground: Ground,
    template: str,
    subject: str = "",
    *,
    variant: int = 1,
    idea: str = "",
    bare: bool = False,
) -> Copy:
    """A text as it will go out, and what the rules and the house say of it.

    bare: it carries what a message has to carry itself.
    Raises BadTemplate, also for a slot that this offer has no value for.
    """
    known = {*ground.values, *(("name",) if ground.personalised else ())}
    body = templates.parse(template, figures=False, known=known)
    title = templates.parse(subject, figures=False, known=known)
    opening, closing = ("", "") if bare else (ground.opening, ground.closing)
    if not bare and template.rstrip()[-1:] not in _ENDS:
        closing = f"{ground.stop}{closing}"
    values = {**ground.values, "name": ground.name}
    sample = f"{opening}{templates.fill(body, values)}{closing}"
    sample_subject = templates.fill(title, values)
    given = Given(
        _judged(sample_subject, sample), "marketing", ground.channel, ground.context, ground.on
    )
    review = review_given(ground.pack, given)
    fit = templates.fits(sample, ground.channel, ground.locale)
    problems = tuple(_problems(ground, template, subject, sample, sample_subject, fit, bare))
    slots = tuple(dict.fromkeys((*title.slots, *body.slots)))
    if ground.must not in slots:
        problems += (_problem("no_offer", "fix", ground.locale),)
    verdicts: list[Verdict] = [review.verdict, *(problem.severity for problem in problems)]
    return Copy(
        channel=ground.channel,
        segment=ground.segment.id,
        personalised=ground.personalised,
        variant=variant,
        idea=idea,
        offer=ground.offer,
        template=template,
        subject=subject,
        opening=opening,
        closing=closing,
        slots=slots,
        values={slot: ground.values[slot] for slot in slots if slot in ground.values},
        sample=sample,
        sample_subject=sample_subject,
        findings=review.findings,
        problems=problems,
        unchecked=review.unchecked,
        verdict=max(verdicts, key=RANK.__getitem__),
        fit=fit,
        locale=ground.locale,
    )


_ENDS = ("", "。", "！", "？", ".", "!", "?", "”", "…")


def _judged(subject: str, text: str) -> str:
    return f"{subject}\n{text}" if subject else text


def _problems(
    ground: Ground,
    template: str,
    subject: str,
    sample: str,
    sample_subject: str,
    fit: Fit,
    bare: bool,
) -> list[Problem]:
    found: list[Problem] = []
    locale, words = ground.locale, _table("words")
    if not ground.proven:
        found.append(_problem("unproven", "block", locale))
    if fit.over:
        said = {
            "units": str(fit.parts if fit.unit == "sms" else fit.units),
            "limit": str(fit.limit),
        }
        channel = words["channels"][ground.channel]
        found.append(_problem("length", "fix", locale, channel=channel, **said))
    longest = templates.subject_limit(ground.channel, ground.locale)
    if len(sample_subject) > longest:
        found.append(_problem("subject", "fix", locale, limit=str(longest)))
    if not bare:
        if not ground.complete:
            found.append(_problem("conditions", "block", locale))
        for row, said_words in tone_of(f"{subject}\n{template}", locale):
            found.append(
                _problem("tone", "fix", locale, why=row["why"][locale], words="、".join(said_words))
            )
    for row in _table("conditions")["required"]:
        if ground.channel in row["channels"] and not any(m in sample for m in row["present"]):
            found.append(_problem("required", "block", locale, element=row["id"]))
    return found


def _problem(code: str, severity: Literal["fix", "block"], locale: str, **said: str) -> Problem:
    return Problem(code, _table("words")["problems"][code][locale].format(**said), severity)


def tone_of(text: str, locale: str) -> list[tuple[Mapping[str, Any], list[str]]]:
    """Rows of knowledge/copy/tone.toml that a body breaks, with the words that do."""
    label: str = _table("words")["subject_label"][locale]
    plain = re.sub(r"\{\w+\}", "", text).removeprefix(label)
    found = []
    for row in _table("tone")["tone"]:
        said = list(dict.fromkeys(m[0] for m in _tone_words(row["id"]).finditer(plain)))
        said += [sign for sign, most in row.get("most", {}).items() if plain.count(sign) > most]
        if said:
            found.append((row, said))
    return found


@cache
def _tone_words(row_id: str) -> re.Pattern[str]:
    (row,) = [row for row in _table("tone")["tone"] if row["id"] == row_id]
    # A Latin word is a whole one: `AI` is not in `again`.
    words = [
        rf"\b{re.escape(w)}\b" if w.isascii() and w[0].isalpha() else re.escape(w)
        for w in row["words"]
    ]
    return re.compile("|".join(words), re.IGNORECASE)


# Drafting -------------------------------------------------------------------------------------


async def draft_offers(brief: Brief, deps: Deps) -> Drafted | Refused:
    """Drafts for a customer or a segment, each with the alternative that is not personalised.

    A model that cannot be had leaves curated texts. Raises NothingToOffer, KeyError for an idea or
    an offer that is not there.
    """
    bounds = bounds_of(deps.rules)
    today = brief.at.astimezone(bounds.zone).date()
    segment = _segment_of(brief, today)
    plans, refused = _channels(brief, segment, bounds)
    if not plans:
        return Refused(next(iter(refused.values())))
    day = max(today, brief.campaign.starts_on)
    coupon, draw, why = _offer(brief, day, await unproven_in(deps, brief.campaign, day))
    chosen = coupon or draw
    assert chosen is not None
    model = await _model(deps)
    copies: list[Copy] = []
    for channel, ways in plans:
        for personalised in ways:
            ground = await ground_of(
                deps,
                brief.campaign,
                channel,
                offer=chosen.id,
                at=brief.at,
                segment=segment if personalised else PLAIN,
                personalised=personalised,
                customer=brief.customer,
                locale=brief.locale,
                synthetic=brief.synthetic,
            )
            if personalised or (not segment.personalised and brief.customer is None):
                copies += await _variants(ground, brief, model)
            else:
                plain = _curated(ground, tuple(ideas()))
                copies += [plain] if plain else []
    attributes = used(segment.conditions)
    if brief.customer is not None:
        attributes = tuple(dict.fromkeys((*attributes, *used(brief.campaign.eligibility))))
    return Drafted(tuple(copies), coupon, draw, why, attributes, refused)


def _segment_of(brief: Brief, today: date) -> Segment:
    if brief.customer is None or brief.segment.personalised:
        return brief.segment
    of_theirs = (s for s in brief.campaign.segments if matches(s.conditions, brief.customer, today))
    return next(of_theirs, PLAIN)


def _channels(
    brief: Brief, segment: Segment, bounds: Bounds
) -> tuple[list[tuple[Channel, tuple[bool, ...]]], dict[Channel, tuple[Refusal, ...]]]:
    """((channel, whether personalised for each set of drafts), refusals by channel)"""
    plans: list[tuple[Channel, tuple[bool, ...]]] = []
    refused: dict[Channel, tuple[Refusal, ...]] = {}
    personal = segment.personalised or brief.customer is not None
    for channel in brief.channels:
        ways: tuple[bool, ...] = (
            (False, True) if personal and bounds.ways[channel].personalised else (False,)
        )
        if brief.customer is not None:
            found = {
                way: refusals(
                    brief.customer,
                    Occasion(channel, "marketing", way, brief.at, brief.campaign, brief.contacted),
                    bounds,
                )
                for way in ways
            }
            if found[ways[-1]]:
                refused[channel] = found[ways[-1]]
            ways = tuple(way for way in ways if not found[way])
        if ways:
            plans.append((channel, ways))
    return plans, refused


def _offer(
    brief: Brief, day: date, bare: frozenset[str]
) -> tuple[CampaignCoupon | None, Draw | None, Best | None]:
    """What is offered, and why. bare: ids of coupons that nothing in force bears out."""
    campaign = brief.campaign
    if brief.offer:
        if bare & _coupons_of(campaign, brief.offer):
            raise NothingToOffer(f"no clause in force says what {brief.offer} does on {day}")
        draw = next((draw for draw in campaign.draws if draw.id == brief.offer), None)
        if draw:
            return None, draw, None
        coupon = campaign.coupon(brief.offer)
        return coupon, None, best([coupon], campaign.representative, day, locale=brief.locale)
    proven = [coupon for coupon in campaign.coupons if coupon.id not in bare]
    found = best(proven, campaign.representative, day, locale=brief.locale)
    if found:
        return found.coupon, None, found
    draws = [draw for draw in campaign.draws if not bare & _coupons_of(campaign, draw.id)]
    if draws and campaign.starts_on <= day <= campaign.ends_on:
        return None, draws[0], None
    why = f"; no clause in force says what {', '.join(sorted(bare))} does" if bare else ""
    raise NothingToOffer(f"{campaign.id} has nothing to offer on {day}{why}")


async def _model(deps: Deps) -> ChatModel | None:
    if not deps.wants_model:
        return None
    try:
        return await deps.chat_model()
    except ModelUnavailable as error:
        log.warning("no model writes copy; curated texts take its place", error=str(error))
        return None


async def _variants(ground: Ground, brief: Brief, model: ChatModel | None) -> list[Copy]:
    """Drafts that differ in their idea; fewer than asked for where there are no more texts."""
    wanted = brief.ideas or tuple(ideas())[: brief.variants]
    made: list[Copy] = []
    for name in wanted[:MOST_VARIANTS]:
        idea = ideas()[name]
        copy = None
        turned_down: tuple[str, ...] = ()
        if model is not None and _writes(model, brief.locale):
            copy, turned_down = await _written(ground, idea, brief.wish, model)
        if copy is None:
            others = tuple(other for other in ideas() if other != name)
            seen = {(other.template, other.subject) for other in made}
            copy = _curated(ground, (name, *others), seen)
        if copy is not None:
            made.append(replace(copy, variant=len(made) + 1, turned_down=turned_down))
    return made


def _writes(model: ChatModel, locale: Locale) -> bool:
    """A small model writes the language of its examples only."""
    return locale == "zh-Hans" or model.way == "draft"


def _curated(
    ground: Ground,
    wanted: Sequence[str],
    seen: Collection[tuple[str, str]] = (),
) -> Copy | None:
    """A curated text of the first idea that has one which is not seen yet and may be sent; one that
    may not, with what is wrong with it, where there is no other."""
    spare: Copy | None = None
    rows = [row for row in curated(ground.channel, ground.locale) if row.kind == ground.kind]
    for name in wanted:
        for row in rows:
            subject = _labelled(ground, row.subject)
            if row.idea != name or (row.text, subject) in seen:
                continue
            try:
                copy = judge(ground, row.text, subject, idea=name, bare=row.bare)
            except BadTemplate:
                # It names a figure that this offer does not have.
                continue
            if copy.sendable:
                return copy
            spare = spare or copy
    return spare


def _labelled(ground: Ground, subject: str) -> str:
    label = _table("words")["subject_label"][ground.locale]
    return f"{label}{subject}" if ground.channel == "email" and subject else subject


# What the model writes ------------------------------------------------------------------------


async def _written(
    ground: Ground, idea: Idea, wish: str, model: ChatModel
) -> tuple[Copy | None, tuple[str, ...]]:
    """What the model wrote, if it may be sent, and why its texts before were not taken."""
    prompts, messages = _asked(ground, idea, wish)
    version = version_of("\0".join(prompt.version for prompt in prompts))
    schema = _schema(ground, idea, model)
    turned_down: list[str] = []
    for attempt in range(2):
        try:
            completion = await model.complete(messages, schema=schema, max_tokens=TOKENS)
        except ModelGarbled as error:
            text, reasons, codes = error.output, [_reason("garbled")], ["garbled"]
        except ModelError as error:
            log.warning("the model wrote no copy", error=str(error))
            return None, (*turned_down, "unavailable")
        else:
            text = completion.text
            copy, reasons, codes = _taken(ground, idea, text)
            if copy is not None:
                made = replace(
                    copy,
                    made_by="model",
                    repaired=attempt > 0,
                    prompt_version=version,
                    model=completion.model,
                )
                return made, tuple(turned_down)
        log.info("copy is turned down", channel=ground.channel, idea=idea.id, why=codes)
        turned_down += codes
        again = render("zh/copy_repair", reasons=reasons)
        messages = [*messages, Message("assistant", text or "{}"), Message("user", again.text)]
    return None, tuple(turned_down)


def _asked(ground: Ground, idea: Idea, wish: str) -> tuple[list[Prompt], list[Message]]:
    """The prompts and the turns. What is the same for every draft stands first, so that a local
    model reads it once; of the customer, or who is in the segment, nothing is told."""
    words = _table("words")
    must = f"{{{ground.must}}}"
    system = render("zh/copy_system", language=words["languages"][ground.locale], must=must)
    shown, turns = examples("zh/copy_examples")
    brief = render(
        "zh/copy_brief",
        channel=words["channels"][ground.channel],
        idea=idea.brief,
        occasion=ground.campaign.idea["zh-Hans"] if idea.occasion else "",
        wish=wish,
        must=must,
        offer=words["offers"][ground.kind],
    )
    messages = [Message("system", system.text)]
    for turn in turns:
        messages.append(Message("user", turn["user"].strip().replace("{coupon}", must)))
        messages.append(Message("assistant", turn["assistant"].replace("{coupon}", must)))
    return [system, shown, brief], [*messages, Message("user", brief.text)]


def _lead(ground: Ground) -> tuple[int, int, int]:
    """(least, most) characters before the offer is named, and most after its last day."""
    least, most, tail = templates.lead_limits(ground.channel)
    if not tail:
        fixed = f"{ground.values[ground.must]}{ground.values['until']}"
        text = f"{ground.opening}{fixed}{ground.closing}"
        room = templates.room(text, ground.channel, ground.locale)
        most = max(least, min(most, room - _AROUND))
    return least, most, tail


def _schema(ground: Ground, idea: Idea, model: ChatModel) -> Mapping[str, Any]:
    """What a draft looks like. A small model is led by the form: an introduction that begins as its
    idea does, the offer, its last day; it can write neither a digit nor a slot that is not there.
    """
    must, until = rf"\{{{ground.must}\}}", r"\{until\}"
    least, most, tail = _lead(ground)
    if model.way == "draft":
        body = rf"^(?:{_SIGN}|{must}|{until}){{{least},{2 * most + tail + 30}}}$"
    else:
        joins = _table("words")["joins"]
        leads, ends = "|".join(joins["leads"]), "|".join(joins[f"ends_{ground.must}"])
        opener = f"(?:{'|'.join(idea.openers)})" if idea.openers else ""
        second, more = "", ""
        if tail:
            second, more = rf"(?:。{_WORD}{{2,{most}}})?", rf"(?:，{_WORD}{{4,{tail}}})?"
        lead = rf"{opener}{_WORD}{{{least},{most}}}{second}"
        body = rf"^{lead}(?:{leads}){must}，{until}(?:{ends}){more}。$"
    return {
        "type": "object",
        "properties": {
            "subject": {"type": "string", "pattern": rf"^{_WORD}{{2,14}}$"},
            "text": {"type": "string", "pattern": body},
        },
        "required": ["subject", "text"],
        "additionalProperties": False,
    }


_SIGN = r"""[^0-9０-９{}\[\]【】<>"“”\\\x00-\x1f！!]"""
_WORD = r"""[^0-9０-９{}\[\]【】<>"“”\\\x00-\x1f！!。？?；]"""
_AROUND = 14
"""Characters of a short text beside introduction, offer and day."""
_OPENING = 8
"""Characters of an introduction beside those that are counted: how it begins, and goes on."""


def _taken(ground: Ground, idea: Idea, output: str) -> tuple[Copy | None, list[str], list[str]]:
    """(the draft, if it may be sent; else why not, in words and as codes)"""
    try:
        said = json.loads(output)
        text, subject = _tidy(said["text"]), _tidy(said["subject"]).rstrip("。.")
    except (ValueError, TypeError, KeyError, AttributeError):
        return None, [_reason("garbled")], ["garbled"]
    if any(text in turn["assistant"] for turn in examples("zh/copy_examples")[1]):
        return None, [_reason("copied")], ["copied"]
    if not templates.subject_limit(ground.channel, ground.locale):
        subject = ""
    sentence = text.partition(f"{{{ground.must}}}")[0].rpartition("。")[2]
    if len(sentence) > _lead(ground)[1] + _OPENING:
        # It ends where it had to, and not where its sentence does.
        return None, [_reason("too_long")], ["too_long"]
    if not text or text[-1] not in _ENDS:
        return None, [_reason("unfinished")], ["unfinished"]
    try:
        copy = judge(ground, f"{_greeting(ground)}{text}", _labelled(ground, subject), idea=idea.id)
    except BadTemplate as error:
        return None, [_reason(error.code)], [error.code]
    if copy.sendable:
        return copy, [], []
    codes = [problem.code for problem in copy.problems]
    reasons: list[str] = []
    if "length" in codes or "subject" in codes:
        reasons.append(_reason("too_long"))
    if "no_offer" in codes:
        reasons.append(_reason("no_offer"))
    tone = [word for _, words in tone_of(f"{subject}\n{text}", ground.locale) for word in words]
    if tone:
        reasons.append(_reason("tone", words="、".join(tone)))
    broken = {f.rule.id: f.rule for f in copy.findings if f.severity not in SENDABLE}
    if broken:
        titles = "、".join(rule.title_zh for rule in broken.values())
        reasons.append(_reason("rule", titles=titles))
    return None, reasons or [_reason("rule", titles="")], [*codes, *broken]


def _greeting(ground: Ground) -> str:
    if ground.channel != "email":
        return ""
    kind = "named" if ground.personalised else "plain"
    greeting: str = _table("words")["greeting"][kind][ground.locale]
    return greeting


def _tidy(text: str) -> str:
    text = re.sub(r"\s+", "", text) if re.search(r"[\u4e00-\u9fff]", text) else text.strip()
    return templates.without_doubled_units(text)


def _reason(code: str, **said: str) -> str:
    wording: str = _table("words")["reasons"][code]
    return wording.format(**said)


# Giving out -----------------------------------------------------------------------------------


def as_mail(copy: Copy) -> str:
    """A mail as HTML, everything escaped; `sample` is its text."""
    body = copy.sample.removesuffix(copy.closing) if copy.closing else copy.sample
    return page(
        "offer_mail",
        locale=copy.locale,
        subject=copy.sample_subject,
        body=[line for line in body.splitlines() if line],
        closing=[line for line in copy.closing.splitlines() if line],
    )


def copy_as_json(copy: Copy) -> dict[str, Any]:
    """A draft as commands and HTTP give it, without its id."""
    given = {
        "channel": copy.channel,
        "segment": copy.segment,
        "personalised": copy.personalised,
        "variant": copy.variant,
        "idea": copy.idea,
        "offer": copy.offer,
        "subject": copy.sample_subject,
        "text": copy.sample,
        "template": copy.template,
        "template_subject": copy.subject,
        "opening": copy.opening,
        "closing": copy.closing,
        "slots": dict(copy.values),
        "verdict": copy.verdict,
        "findings": findings_as_json(copy),
        "unchecked": [
            {"rule": unchecked.rule.id, "needs": list(unchecked.needs)}
            for unchecked in copy.unchecked
        ],
        "length": {
            "unit": copy.fit.unit,
            "units": copy.fit.units,
            "parts": copy.fit.parts,
            "limit": copy.fit.limit,
            "over": copy.fit.over > 0,
        },
        "made_by": copy.made_by,
        "repaired": copy.repaired,
        "turned_down": list(copy.turned_down),
        "prompt_version": copy.prompt_version,
        "model": copy.model,
        "locale": copy.locale,
    }
    if copy.channel == "email":
        given["html"] = as_mail(copy)
    return given


HOUSE = "HOUSE"
"""Before the code of what is no rule of the pack."""


def findings_as_json(copy: Copy) -> list[dict[str, Any]]:
    """What is wrong with a draft, rules and house together; `part` says in which of its texts a
    span is."""
    before = len(copy.sample_subject) + 1 if copy.sample_subject else 0
    rows: list[dict[str, Any]] = []
    for finding in copy.findings:
        in_text = finding.span[1] > before
        start, end = (max(0, place - (before if in_text else 0)) for place in finding.span)
        rows.append(
            {
                "rule": finding.rule.id,
                "title": finding.rule.title_zh,
                "title_en": finding.rule.title_en,
                "severity": finding.severity,
                "part": "text" if in_text else "subject",
                "span": [start, end],
                "text": finding.text,
                "source": source_as_json(finding.rule),
                "suggestion": finding.rule.suggestion_zh,
                "suggestion_en": finding.rule.suggestion_en,
            }
        )
    for problem in copy.problems:
        rows.append(
            {
                "rule": f"{HOUSE}-{problem.code}",
                "title": problem.said,
                "title_en": problem.said,
                "severity": problem.severity,
                "part": "text",
                "span": [0, len(copy.sample)],
                "text": "",
                "source": None,
                "suggestion": "",
                "suggestion_en": "",
            }
        )
    return rows


def refused_as_json(refused: Refused) -> dict[str, Any]:
    return {
        "status": "refused",
        "reason": refused.reason,
        "reasons": [{"reason": row.reason, "rule": row.rule} for row in refused.refusals],
        "drafts": [],
    }
