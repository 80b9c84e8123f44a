"""What a message has to carry beside its own words, put in from data.

An AI label, the lender's name, the annual rate beside a price, a word on borrowing, the way out and
the way to a person: `knowledge/channels.toml` says which of them a task needs on a channel and how
they are worded, the compliance rules say which are lacking, and the lender's file and clauses what
is filled in. No figure is ever worked out from the message itself.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Literal, get_args

from knowledge.documents import Clause
from knowledge.lender import Lender, Rate, named_product, stated_contact, stated_rates

from .compliance import Given, Review, review_as_json, review_given
from .models import Locale
from .rules import Channel, RulePack, Task, jurisdictions, load_rules

SHIPPED = Path(__file__).parent.parent / "knowledge" / "channels.toml"

Place = Literal["start", "end"]
SLOTS = ("name", "short_name", "hotline", "hours", "rates")
RATE_SLOTS = ("name", "least", "most")
SENTENCE_ENDS = "。！？；.!?;：:"
CLOSING = "”」』）)》\"'"

_SLOT = re.compile(r"\{(\w*)\}")


class ChannelsError(Exception):
    """The file of channels is wrong; the message names file, element and field."""


@dataclass(frozen=True, slots=True)
class Element:
    """Something that a message has to carry; the file says what the fields mean."""

    id: str
    tasks: frozenset[Task]
    channels: frozenset[Channel]
    rules: frozenset[str]
    prices: frozenset[str]
    present: tuple[str, ...]
    unless: str
    place: Place
    wording: Mapping[Locale, str]


@dataclass(frozen=True, slots=True)
class ChannelForm:
    """How a message is put together on a channel."""

    longest: int
    """Characters at most; 0: no bound."""
    apart: str
    leads: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Language:
    """How what is put in is joined, and how a rate is said."""

    stop: str
    apart: str
    rate: str
    rates_apart: str


@dataclass(frozen=True, slots=True)
class Channels:
    """The file of channels, read."""

    forms: Mapping[Channel, ChannelForm]
    languages: Mapping[Locale, Language]
    elements: tuple[Element, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """What may be filled in: the lender, and what clauses in force state of it."""

    lender: Lender
    hotline: str = ""
    hours: str = ""
    rates: tuple[Rate, ...] = ()


@dataclass(frozen=True, slots=True)
class Added:
    """An element that was put in, and where it stands in the completed text."""

    element: str
    text: str
    span: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Completed:
    """A text with what it lacked."""

    text: str
    added: tuple[Added, ...]
    """In the order they stand."""
    lacking: tuple[str, ...]
    """Elements that could not be put in, since no clause in force states what belongs in them."""
    longest: int
    """Characters that the channel takes; 0: no bound."""

    @property
    def too_long(self) -> bool:
        return 0 < self.longest < len(self.text)


# Data


def load_channels(own: Path | None = None) -> Channels:
    """Read the file of channels: that in an institution's folder of rules, where it has one, in
    place of the shipped one, or with its elements after those of the shipped one where it has
    nothing else. Raises ChannelsError."""
    file = own / SHIPPED.name if own and (own / SHIPPED.name).is_file() else SHIPPED
    try:
        raw = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise ChannelsError(f"{file}: cannot be read ({error})") from error
    if unknown := sorted(raw.keys() - {"channels", "languages", "elements"}):
        raise ChannelsError(f"{file}: {unknown[0]!r} is not known")
    rows = raw.get("elements", [])
    if not isinstance(rows, list):
        raise ChannelsError(f"{file}: elements must be tables")
    elements = tuple(_element(file, n, row) for n, row in enumerate(rows, start=1))
    if file != SHIPPED and raw.keys() <= {"elements"}:
        shipped = load_channels()
        return replace(shipped, elements=shipped.elements + elements)
    for name in ("channels", "languages"):
        if not isinstance(raw.get(name), dict):
            raise ChannelsError(f"{file}: {name}: expected a table")
    forms = {channel: _form(file, channel, raw) for channel in get_args(Channel)}
    languages = {locale: _language(file, locale, raw) for locale in get_args(Locale)}
    return Channels(forms, languages, elements)


def check_own(own: Path | None, channels: Channels) -> None:
    """Whether an institution's files are in order for every jurisdiction, and its elements name
    what there is. Raises RulePackError, ChannelsError."""
    if own is None:
        return
    packs = [load_rules(jurisdiction, own) for jurisdiction in jurisdictions(own)]
    rules = {rule for pack in packs for rule in pack.by_id}
    keys = {key for pack in packs for key in pack.context_keys}
    for element in channels.elements:
        where = f"{own / SHIPPED.name}: element {element.id}"
        if strange := sorted((element.rules | element.prices) - rules):
            raise ChannelsError(f"{where}: {strange[0]!r} is no rule of any pack")
        if element.unless and element.unless not in keys:
            raise ChannelsError(f"{where}.unless: {element.unless!r} is no context key")


def _form(file: Path, channel: str, raw: Mapping[str, Any]) -> ChannelForm:
    table = raw["channels"].get(channel)
    where = f"{file}: channels.{channel}"
    if not isinstance(table, dict):
        raise ChannelsError(f"{where}: expected a table")
    longest, apart, leads = (table.get(name) for name in ("longest", "apart", "leads"))
    if not isinstance(longest, int) or isinstance(longest, bool) or longest < 0:
        raise ChannelsError(f"{where}.longest: expected a number of characters, not {longest!r}")
    if not isinstance(apart, str):
        raise ChannelsError(f"{where}.apart: expected a text, not {apart!r}")
    return ChannelForm(longest, apart, _texts(leads, f"{where}.leads"))


def _language(file: Path, locale: Locale, raw: Mapping[str, Any]) -> Language:
    table = raw["languages"].get(locale)
    where = f"{file}: languages.{locale}"
    names = ("stop", "apart", "rate", "rates_apart")
    if not isinstance(table, dict) or not all(isinstance(table.get(n), str) for n in names):
        raise ChannelsError(f"{where}: expected the texts {', '.join(names)}")
    _check_slots(table["rate"], RATE_SLOTS, f"{where}.rate")
    return Language(*(table[name] for name in names))


def _element(file: Path, number: int, row: Any) -> Element:
    where = f"{file}: element {number}"
    if not isinstance(row, dict) or not isinstance(row.get("id"), str):
        raise ChannelsError(f"{where}: expected a table with an id")
    where = f"{where} ({row['id']})"
    known = {"id", "tasks", "channels", "rules", "prices", "present", "unless", "place", "wording"}
    unknown = sorted(row.keys() - known)
    if unknown:
        raise ChannelsError(f"{where}: {unknown[0]!r} is not known")
    named = {
        name: _texts(row.get(name, []), f"{where}.{name}")
        for name in ("tasks", "channels", "rules", "prices", "present")
    }
    place = next((p for p in get_args(Place) if p == row.get("place")), None)
    if place is None:
        raise ChannelsError(f"{where}.place: expected start or end, not {row.get('place')!r}")
    for name, all_of in (("tasks", get_args(Task)), ("channels", get_args(Channel))):
        strange = sorted(set(named[name]) - set(all_of))
        if strange or not named[name]:
            raise ChannelsError(f"{where}.{name}: expected some of {', '.join(all_of)}")
    if not isinstance(row.get("unless", ""), str):
        raise ChannelsError(f"{where}.unless: expected a context key")
    return Element(
        id=row["id"],
        tasks=frozenset(t for t in get_args(Task) if t in named["tasks"]),
        channels=frozenset(c for c in get_args(Channel) if c in named["channels"]),
        rules=frozenset(named["rules"]),
        prices=frozenset(named["prices"]),
        present=named["present"],
        unless=row.get("unless", ""),
        place=place,
        wording=_wording(row.get("wording"), where),
    )


def _wording(raw: Any, where: str) -> dict[Locale, str]:
    wording: dict[Locale, str] = {}
    for locale in get_args(Locale):
        text = raw.get(locale) if isinstance(raw, dict) else None
        if not isinstance(text, str) or not text.strip():
            raise ChannelsError(f"{where}.wording.{locale}: expected a text")
        _check_slots(text, SLOTS, f"{where}.wording.{locale}")
        wording[locale] = text
    return wording


def _check_slots(text: str, known: Sequence[str], where: str) -> None:
    rest = _SLOT.sub("", text)
    if not set(_SLOT.findall(text)) <= set(known) or "{" in rest or "}" in rest:
        raise ChannelsError(f"{where}: known slots are {', '.join(known)}, each in braces")


def _texts(raw: Any, where: str) -> tuple[str, ...]:
    if not isinstance(raw, list) or not all(isinstance(text, str) and text for text in raw):
        raise ChannelsError(f"{where}: expected a list of texts, not {raw!r}")
    return tuple(raw)


# Facts


def facts_of(lender: Lender, rates: Iterable[Rate], clauses: Sequence[Clause], on: date) -> Facts:
    """What may be filled in on a day; what no clause in force states is left out."""
    hotline, hours = stated_contact(lender, clauses, on)
    return Facts(lender, hotline, hours, stated_rates(rates, clauses, on))


# Completing


def append_required(
    pack: RulePack, channels: Channels, given: Given, facts: Facts, locale: Locale = "zh-Hans"
) -> Completed:
    """The text of a message with what it lacks by the rules of its day; its own words stay.

    What is there already is not put in again, so that a completed text is left as it is. Raises
    ValueError for a message whose channel is not said.
    """
    if given.channel is None:
        raise ValueError("expected a channel")
    form, language = channels.forms[given.channel], channels.languages[locale]
    values = _values(given.text, facts, language)
    broken = _broken(pack, given)
    starts: list[tuple[str, str]] = []
    ends: list[tuple[str, str]] = []
    lacking: dict[str, None] = {}
    for element in channels.elements:
        if not _needed(element, given, values, broken):
            continue
        text = _filled(element.wording[locale], values)
        if text is None:
            lacking[element.id] = None
        elif text.strip() not in given.text:
            (starts if element.place == "start" else ends).append((element.id, text))
    pieces = _put_together(given.text, starts, ends, form, language)
    added: list[Added] = []
    at = 0
    for name, text in pieces:
        if name:
            added.append(Added(name, text, (at, at + len(text))))
        at += len(text)
    whole = "".join(text for _, text in pieces)
    return Completed(whole, tuple(added), tuple(lacking), form.longest)


def review_completed(pack: RulePack, given: Given, completed: Completed) -> Review:
    """Judge the completed text as one that goes out as it is."""
    context = {**given.context, "complete": True}
    return review_given(pack, replace(given, text=completed.text, context=context))


def completed_as_json(completed: Completed, review: Review) -> dict[str, Any]:
    """What was put in, and what the rules say of the whole, as commands and HTTP give it."""
    return {
        "text": completed.text,
        "added": [
            {"element": added.element, "text": added.text, "span": list(added.span)}
            for added in completed.added
        ],
        "lacking": list(completed.lacking),
        "longest": completed.longest or None,
        "too_long": completed.too_long,
        "review": review_as_json(review),
    }


@dataclass(frozen=True, slots=True)
class _Broken:
    finished: frozenset[str]
    """Rules that only the finished message breaks."""
    at_all: frozenset[str]


def _broken(pack: RulePack, given: Given) -> _Broken:
    found = {
        complete: {
            (finding.rule.id, finding.span)
            for finding in review_given(
                pack, replace(given, context={**given.context, "complete": complete})
            ).findings
        }
        for complete in (True, False)
    }
    return _Broken(
        frozenset(rule for rule, _ in found[True] - found[False]),
        frozenset(rule for rule, _ in found[True]),
    )


def _needed(element: Element, given: Given, values: Mapping[str, str], broken: _Broken) -> bool:
    if given.task not in element.tasks or given.channel not in element.channels:
        return False
    if element.unless and given.context.get(element.unless) is True:
        return False
    if element.rules or element.prices:
        return bool(element.rules & broken.finished or element.prices & broken.at_all)
    marks = [_filled(mark, values) for mark in element.present]
    return not any(mark and mark in given.text for mark in marks)


def _values(text: str, facts: Facts, language: Language) -> dict[str, str]:
    """What stands in each slot; empty where nothing may."""
    return {
        "name": facts.lender.name,
        "short_name": facts.lender.short_name,
        "hotline": facts.hotline,
        "hours": facts.hours,
        "rates": _rates(text, facts, language),
    }


def _filled(wording: str, values: Mapping[str, str]) -> str | None:
    """The wording with its slots filled; None where one of them has nothing to stand in it."""
    if not all(values[slot] for slot in _SLOT.findall(wording)):
        return None
    return _SLOT.sub(lambda slot: values[slot[1]], wording)


def _rates(text: str, facts: Facts, language: Language) -> str:
    """The annual rates of the product that a text names, or of all; empty where one of them is not
    known, since a part would look like the whole."""
    product = named_product(facts.lender, text)
    wanted = [product] if product else list(facts.lender.products)
    known = {rate.product: asdict(rate) for rate in facts.rates}
    if not wanted or not all(name in known for name in wanted):
        return ""
    said = (_filled(language.rate, known[name]) or "" for name in wanted)
    return language.rates_apart.join(said)


def _put_together(
    text: str,
    starts: Sequence[tuple[str, str]],
    ends: Sequence[tuple[str, str]],
    form: ChannelForm,
    language: Language,
) -> list[tuple[str, str]]:
    """(element, or nothing for the text's own words and what joins them; text) in order."""
    lead = next((lead for lead in form.leads if text.startswith(lead)), "")
    pieces = [("", lead), *starts, ("", text[len(lead) :])]
    if ends and not _is_ended(text):
        pieces.append(("", language.stop))
    for piece in ends:
        pieces += [("", form.apart or language.apart), piece]
    return [piece for piece in pieces if piece[1]]


def _is_ended(text: str) -> bool:
    return text.rstrip().rstrip(CLOSING)[-1:] in ("", *SENTENCE_ENDS)
