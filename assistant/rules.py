"""Rule packs: what a compliance officer writes in knowledge/rules/*.toml, read and held to account.

docs/rules.md tells the format. A pack that is wrong is not loaded in part: nothing is.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import MAXYEAR, MINYEAR, date, datetime, time
from decimal import Decimal
from functools import cached_property, lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, TypeVar, get_args
from zoneinfo import available_timezones

from .matching import (
    CLAUSE_ENDS,
    SENTENCE_ENDS,
    SHIPPED,
    SOUNDS,
    VARIANTS,
    BadPattern,
    Folding,
    Pattern,
    VariantsError,
    compile_pattern,
    load_folding,
    toml_of,
)

Task = Literal["chat", "marketing", "agent", "collections"]
Channel = Literal[
    "sms", "push", "in_app", "wechat", "email", "call_script", "chat", "phone", "poster"
]
Severity = Literal["warn", "fix", "block"]
Anchor = Literal["direct", "direct_unread", "derived", "policy"]
Evidence = Literal["text", "quote", "secondary", "unsure", "memory"]
Reach = Literal["clause", "sentence"]
SettingValue = Decimal | time | str | tuple[str, ...]

HELD: frozenset[Evidence] = frozenset({"text", "quote"})
"""Evidence on which a finding may name an article."""

REACH: Mapping[Reach, frozenset[str]] = {"clause": CLAUSE_ENDS, "sentence": SENTENCE_ENDS}
FEWEST_EXAMPLES = 3

ContextForm = Literal["bool", "int", "decimal", "date", "instant", "text", "texts"]
ContextKind = ContextForm | tuple[str, ...]
"""What is said under a key: of a form, or one of these words."""

CONTEXT_KEYS: Mapping[str, ContextKind] = {
    "complete": "bool",
    "at": "instant",
    "consent": "bool",
    "opted_out": "bool",
    "sent_this_week": "int",
    "calls_this_week": "int",
    "calls_today": "int",
    "identity_verified": "bool",
    "recipient": ("borrower", "guarantor", "third_party"),
    "customer.student": "bool",
    "customer.age": "int",
    "customer.hardship": "bool",
    "customer.crisis": "bool",
    "campaign.ends_on": "date",
    "campaign.stock": "int",
    "campaign.max_prize_cny": "decimal",
    "approved_plan": "bool",
    "amount_due_cny": "decimal",
    "link_domains_allowed": "texts",
    "question": "text",
    "own_platform": "bool",
    "partners": "bool",
    "other_fees": "bool",
    "personalised": "bool",
    "label_shown": "bool",
    "made_by_ai": "bool",
}
"""What may be said about a message beside its text; docs/rules.md tells what each means."""

CONTEXT_DEFAULTS: Mapping[str, bool] = {"complete": False}
"""Keys that count as said where they are not."""

CONTEXT_SETTINGS: Mapping[str, str] = {"link_domains_allowed": "own_domains"}
"""Keys that count as said where the institution has set as much -> the setting."""

CURRENCIES = ("CNY", "HKD", "USD")
"""Those in which figures.py reads sums, as the setting `currency` names them."""

QUANTITIES = (
    *(f"money_{currency.lower()}" for currency in CURRENCIES),
    "annual_rate",
    "annualised_rate",
    "implied_annual_rate",
    "daily_rate",
    "monthly_rate",
    "term_months",
    "term_days",
    "age_years",
    "percentage",
)
"""What a figure condition may measure; assistant/rule_checks.py reads them from a text."""

CHECKS: Mapping[str, tuple[str, ...]] = {
    "rates_disagree": (),
    "links_elsewhere": ("link_domains_allowed",),
    "deadline_not_in_campaign": ("campaign.ends_on",),
    "stock_not_in_campaign": ("campaign.stock",),
    "amount_differs": ("amount_due_cny",),
    "costs_add_up": (),
    "personal_numbers": (),
}
"""Checks written in Python that a trigger may name -> context keys that each needs."""


class RulePackError(Exception):
    """Rule packs cannot be used; each line of the message names file, rule and field."""


class UnknownPack(RulePackError):
    """A jurisdiction has no rules."""


class ContextError(Exception):
    """What was said about a message is not understood; the message names the key."""


@dataclass(frozen=True, slots=True)
class Words:
    """Words that excuse what stands beside them: negations, warnings, quotations."""

    pattern: Pattern
    reach: Reach
    """What they must share with it."""
    window: int
    """Characters within which they must stand."""
    heading: Pattern | None = None
    """Words over a list that excuse what stands in it."""


@dataclass(frozen=True, slots=True)
class FigureCondition:
    """A quantity that the text states, and the bounds past which it is wrong."""

    quantity: str
    bounds: tuple[tuple[str, str | Decimal], ...]
    """(over | under | at_least | at_most, number or name of a setting); all must hold."""
    near: tuple[Pattern, ...] = ()
    """One of them must stand in its clause, where there are any."""
    not_near: tuple[Pattern, ...] = ()


@dataclass(frozen=True, slots=True)
class ContextCondition:
    """What must be so about a message for a trigger to fire."""

    key: str
    is_: tuple[object, ...] = ()
    """Values of which it must be one."""
    bounds: tuple[tuple[str, str | Decimal], ...] = ()
    within: tuple[str | time, str | time] | None = None
    """Two times of day, or settings with one; past midnight where the second is earlier."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """Conditions that must all hold; a rule has one or more triggers, and any of them fires it."""

    patterns: tuple[Pattern, ...] = ()
    unless: tuple[Pattern, ...] = ()
    unless_before: tuple[Words, ...] = ()
    unless_after: tuple[Words, ...] = ()
    only_with: tuple[Pattern, ...] = ()
    unless_with: tuple[Pattern, ...] = ()
    message_with: tuple[Pattern, ...] = ()
    requires_any: tuple[Pattern, ...] = ()
    requires_all: tuple[Pattern, ...] = ()
    figures: tuple[FigureCondition, ...] = ()
    question: tuple[Pattern, ...] = ()
    unless_question: tuple[Pattern, ...] = ()
    context: tuple[ContextCondition, ...] = ()
    unless_context: tuple[ContextCondition, ...] = ()
    """It does not fire where one of them is said and holds; nothing need be said."""
    check: str = ""
    evasion: bool = True
    tasks: frozenset[Task] = frozenset()
    channels: frozenset[Channel] = frozenset()
    severity: Severity | None = None

    @property
    def only_requires(self) -> bool:
        """Whether it matches nothing but looks for what must be there."""
        required = self.requires_any or self.requires_all
        return bool(required) and not (self.patterns or self.figures or self.check)

    @property
    def excuses(self) -> bool:
        """Whether it says what may take the meaning of a match away."""
        return bool(
            self.unless
            or self.unless_before
            or self.unless_after
            or self.only_with
            or self.unless_with
        )

    @property
    def of_whole_message(self) -> bool:
        """Whether it cannot be judged on one sentence of a message that is still being written."""
        return bool(
            self.message_with
            or self.requires_any
            or self.requires_all
            or not (self.patterns or self.figures or self.check)
        )


@dataclass(frozen=True, slots=True)
class Source:
    """A document that rules rest on."""

    title: str
    number: str
    issuer: str
    effective_from: date | None
    held: Evidence
    note: str


@dataclass(frozen=True, slots=True)
class Basis:
    """Where in a source a rule stands."""

    source: str
    regulation: str
    article: str
    """Empty where the number was not seen."""
    evidence: Evidence
    quote: str
    note: str


@dataclass(frozen=True, slots=True)
class Example:
    """Wording on which a rule must fire, or must not."""

    text: str
    task: Task
    channel: Channel | None
    context: Mapping[str, Any]
    on: date


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a pack."""

    id: str
    file: str
    title_zh: str
    title_en: str
    tasks: frozenset[Task]
    channels: frozenset[Channel]
    """Empty: every channel."""
    severity: Severity
    anchor: Anchor
    bases: tuple[Basis, ...]
    triggers: tuple[Trigger, ...]
    effective_from: date | None
    effective_to: date | None
    suggestion_zh: str
    suggestion_en: str
    note: str
    bad: tuple[Example, ...]
    good: tuple[Example, ...]

    @property
    def basis(self) -> Basis:
        """What a finding names: the first of which the text is held, else a quote, else any."""
        return min(self.bases, key=lambda basis: _EVIDENCE_ORDER.index(basis.evidence))

    def title(self, locale: str) -> str:
        return self.title_en if locale == "en" else self.title_zh

    def suggestion(self, locale: str) -> str:
        """In the other language where there is none in this one."""
        return self.suggestion_en if locale == "en" and self.suggestion_en else self.suggestion_zh

    @property
    def jurisdiction(self) -> str:
        return self.file.partition("-")[0]

    def in_force(self, on: date) -> bool:
        return (self.effective_from is None or self.effective_from <= on) and (
            self.effective_to is None or on <= self.effective_to
        )


_EVIDENCE_ORDER: tuple[Evidence, ...] = get_args(Evidence)


@dataclass(frozen=True)
class RulePack:
    """All rules of a jurisdiction, or of several, with the settings of the institution."""

    jurisdiction: str
    """With commas where there are several."""
    rules: tuple[Rule, ...]
    settings: Mapping[str, SettingValue]
    """Of the first jurisdiction."""
    sources: Mapping[str, Source]
    folding: Folding
    context_keys: Mapping[str, ContextKind]
    """What may be said of a message: what every pack knows, and what this one adds."""
    version: str
    """Changes with any byte of the packs, the settings and the table of disguises."""
    files: Mapping[str, str] = field(repr=False)
    """All of these by name, the institution's own under `own/`."""
    others: Mapping[str, Mapping[str, SettingValue]] = field(default_factory=dict)
    """Settings of the further jurisdictions, by which their rules are judged."""
    memo: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)
    """What is derived from the rules when first needed; kept with them."""

    def settings_of(self, rule: Rule) -> Mapping[str, SettingValue]:
        return self.others.get(rule.jurisdiction, self.settings)

    @cached_property
    def by_id(self) -> Mapping[str, Rule]:
        return {rule.id: rule for rule in self.rules}

    @cached_property
    def text(self) -> str:
        """The pack as one text, from which `of_text` makes it again; each record is held to it."""
        return json.dumps(
            {"jurisdiction": self.jurisdiction, "files": self.files},
            ensure_ascii=False,
            sort_keys=True,
        )


class _Wrong(Exception):
    """A field of a rule is wrong."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}")


Value = TypeVar("Value")


def of_text(text: str) -> RulePack:
    """Raises RulePackError: the text was written by a version with another form of rules."""
    held = json.loads(text)
    with TemporaryDirectory() as folder:
        shipped, own = Path(folder), Path(folder) / "own"
        own.mkdir()
        for name, written in held["files"].items():
            # Kept texts come from the database: one that was tampered with names no other place.
            plain = name.removeprefix("own/")
            if Path(name).name != plain or not plain.endswith(".toml"):
                raise RulePackError(f"{name!r} is no name of a rule file")
            (shipped / name).write_bytes(written.encode())
        return _loaded(held["jurisdiction"], _own_files(own), shipped, None)


def load_rules(
    jurisdiction: str = "cn", own: Path | None = None, shipped: Path = SHIPPED
) -> RulePack:
    """The shipped packs of a jurisdiction, and an institution's own file or folder.

    jurisdiction: or several with commas between them, whose rules are all judged by.
    own: `settings.toml` overrides settings, `variants.toml` adds disguises, `<jurisdiction>-*.toml`
    adds rules; `channels.toml`, which elements.py reads, is passed by.
    Raises RulePackError, with every mistake found; UnknownPack.
    """
    return _loaded(jurisdiction, _own_files(own), shipped, frozenset(jurisdictions(own, shipped)))


def jurisdictions(own: Path | None, shipped: Path = SHIPPED) -> list[str]:
    """Those that have rules, shipped or the institution's own. Raises RulePackError."""
    files = (*shipped.glob("*-*.toml"), *_own_files(own))
    return sorted({file.name.partition("-")[0] for file in files if "-" in file.name})


def _loaded(
    jurisdiction: str, own_files: Sequence[Path], shipped: Path, known: frozenset[str] | None
) -> RulePack:
    """known: jurisdictions for which an institution may have settings; None: any."""
    packs: list[Path] = []
    named = list(dict.fromkeys(part.strip() for part in jurisdiction.split(",")))
    for name in named:
        files_there = (*sorted(shipped.glob("*-*.toml")), *own_files)
        of_it = [file for file in files_there if file.name.startswith(f"{name}-")]
        if not of_it:
            there = ", ".join(sorted(known or ()))
            raise UnknownPack(f"no rule pack for {name!r}; there are {there}")
        packs += of_it
    settings_files = [shipped / "settings.toml"]
    settings_files += [file for file in own_files if file.name == "settings.toml"]
    variants = [file for file in own_files if file.name == "variants.toml"]
    digest = hashlib.sha256()
    files: list[tuple[str, str]] = []
    for file in (*packs, *settings_files, shipped / VARIANTS, shipped / SOUNDS, *variants):
        written = _bytes(file)
        name = f"own/{file.name}" if file in own_files else file.name
        files.append((name, written.decode("utf-8", "replace")))
        digest.update(name.encode())
        digest.update(hashlib.sha256(written).digest())
    version = digest.hexdigest()[:12]
    return _built(
        tuple(named),
        version,
        tuple(packs),
        tuple(settings_files),
        tuple(variants),
        shipped,
        tuple(files),
        known,
    )


@lru_cache(maxsize=4)
def _built(
    jurisdictions: Sequence[str],
    version: str,
    packs: Sequence[Path],
    settings_files: Sequence[Path],
    variants: Sequence[Path],
    shipped: Path,
    files: Sequence[tuple[str, str]],
    known: frozenset[str] | None,
) -> RulePack:
    """Kept, since putting the patterns together takes half a second."""
    try:
        folding = load_folding(variants, shipped)
    except VariantsError as error:
        raise RulePackError(str(error)) from error
    problems: list[str] = []
    settings: dict[str, Mapping[str, SettingValue]] = {}
    context_keys: dict[str, ContextKind] = dict(CONTEXT_KEYS)
    sources: dict[str, Source] = {}
    rules: dict[str, Rule] = {}
    for of in jurisdictions:
        settings[of] = _settings(settings_files, of, known, problems)
        of_it = [file for file in packs if file.name.startswith(f"{of}-")]
        tables = {file: _toml(file, problems) for file in of_it}
        reader = _Reader(folding, settings[of], context_keys)
        for read_shared in (reader.read_fragments, reader.read_shared):
            for file, table in tables.items():
                read_shared(file.name, table, problems)
        sources = {**reader.sources, **sources}
        for file, table in tables.items():
            for place, raw in enumerate(_rules_of(file.name, table, problems), start=1):
                name = str(raw.get("id", f"number {place}")) if isinstance(raw, dict) else "?"
                try:
                    rule = reader.rule(file.name, raw)
                    if rule.id in rules:
                        raise _Wrong("id", f"{rule.id!r} is taken, in {rules[rule.id].file}")
                    rules[rule.id] = rule
                except _Wrong as error:
                    problems.append(f"{file.name}: rule {name}: {error}")
        if not problems and not any(rule.jurisdiction == of for rule in rules.values()):
            problems.append(f"{of_it[0].name}: rules: there are none")
    if problems:
        raise RulePackError("\n".join(dict.fromkeys(problems)))
    first, *others = jurisdictions
    return RulePack(
        jurisdiction=",".join(jurisdictions),
        rules=tuple(rules.values()),
        settings=settings[first],
        others={of: settings[of] for of in others},
        sources=sources,
        context_keys=context_keys,
        folding=folding,
        version=version,
        files=dict(files),
    )


def read_context(raw: object, keys: Mapping[str, ContextKind] = CONTEXT_KEYS) -> Mapping[str, Any]:
    """What is said about a message, nested as given, as dotted key -> value. Raises ContextError.

    keys: those of the pack, where it has some of its own. null counts as not said.
    """
    if not isinstance(raw, Mapping):
        raise ContextError(f"the context must be an object, not {type(raw).__name__}")
    flat: dict[str, Any] = {}
    groups = {key.partition(".")[0] for key in keys if "." in key}
    for key, value in raw.items():
        if key in groups and isinstance(value, Mapping):
            flat.update({f"{key}.{inner}": found for inner, found in value.items()})
        else:
            flat[str(key)] = value
    read: dict[str, Any] = dict(CONTEXT_DEFAULTS)
    for key, value in flat.items():
        kind = keys.get(key)
        if kind is None:
            raise ContextError(f"context {key!r} is not known; known are {', '.join(keys)}")
        if value is not None:
            read[key] = _context_value(key, kind, value)
    return read


def _context_value(key: str, kind: ContextKind, value: object) -> object:
    is_number = isinstance(value, str | int | float) and not isinstance(value, bool)
    expected = _KIND_WORDS[kind] if isinstance(kind, str) else f"one of {', '.join(kind)}"
    wrong = ContextError(f"context {key!r}: expected {expected}, not {value!r}")
    match kind:
        case "bool" if isinstance(value, bool):
            return value
        case "int" if isinstance(value, int) and not isinstance(value, bool):
            return value
        case "text" if isinstance(value, str):
            return value
        case "texts" if isinstance(value, list) and all(isinstance(v, str) for v in value):
            return tuple(value)
        case "date" if isinstance(value, date) and not isinstance(value, datetime):
            return value
        case "instant" if isinstance(value, datetime) and _is_instant(value):
            return value
        case tuple() if value in kind:
            return value
    try:
        if kind == "decimal" and is_number:
            number = Decimal(str(value))
            if number.is_finite():
                return number
        if kind == "date" and isinstance(value, str):
            return date.fromisoformat(value)
        if kind == "instant" and isinstance(value, str):
            instant = datetime.fromisoformat(value)
            if _is_instant(instant):
                return instant
    except (ArithmeticError, ValueError):
        raise wrong from None
    raise wrong


def _is_instant(value: datetime) -> bool:
    """Whether it says its zone, and the clock of any other can be read at it."""
    return value.tzinfo is not None and MINYEAR < value.year < MAXYEAR


_KIND_WORDS: Mapping[ContextForm, str] = {
    "bool": "true or false",
    "int": "a whole number",
    "decimal": "a number",
    "date": "a day as YYYY-MM-DD",
    "instant": f"a time as YYYY-MM-DDTHH:MM+08:00 between the years {MINYEAR} and {MAXYEAR}",
    "text": "a text",
    "texts": "a list of texts",
}

_PACK_KEYS = ("sources", "words", "fragments", "context", "rules")
_RULE_KEYS = (
    "id", "title_zh", "title_en", "tasks", "channels", "severity", "anchor", "sources",
    "effective_from", "effective_to", "suggestion_zh", "suggestion_en", "note", "bad", "good",
    "triggers",
)  # fmt: skip
_TRIGGER_KEYS = (
    "patterns", "unless", "unless_before", "unless_after", "only_with", "unless_with",
    "message_with", "requires_any", "requires_all", "figures", "question", "unless_question",
    "context", "unless_context", "check", "evasion", "tasks", "channels", "severity",
)  # fmt: skip
_FRAGMENT = re.compile(r"(?<!\\p)\{([a-z][a-z0-9_]*)\}")
"""Where a pattern names a class of words; `{2,4}` and `\\p{Han}` are RE2's own."""
_LIST = re.compile("@[A-Za-z0-9_-]+")
"""How lists of words are named where they excuse what stands beside them."""
_WINDOW = 12
"""Characters within which words written into a trigger excuse what stands beside them."""


class _Reader:
    """Reads rules with what the packs of a jurisdiction share: sources, words, settings."""

    def __init__(
        self,
        folding: Folding,
        settings: Mapping[str, SettingValue],
        context_keys: dict[str, ContextKind],
    ) -> None:
        """context_keys: those known so far, to which the packs' own are added."""
        self.sources: dict[str, Source] = {}
        self._words: dict[str, Words] = {}
        self.context_keys = context_keys
        self._fragments: dict[str, str] = {}
        self._folding = folding
        self._settings = settings

    def read_fragments(self, file: str, table: Mapping[str, Any], problems: list[str]) -> None:
        """Classes of words and keys of context first, since all else may name them."""
        keys = table.get("context", {})
        for key, raw in keys.items() if isinstance(keys, dict) else [("?", keys)]:
            kind = _kind(raw)
            if kind is None:
                forms = ", ".join(get_args(ContextForm))
                expected = f"expected one of {forms}, or a list of words, not {raw!r}"
                problems.append(f"{file}: context.{key}: {expected}")
            elif self.context_keys.setdefault(key, kind) != kind:
                problems.append(f"{file}: context.{key}: it is {self.context_keys[key]} already")
        rows = table.get("fragments", {})
        if not isinstance(rows, dict):
            problems.append(f"{file}: fragments: expected a table")
            return
        for name, raw in rows.items():
            parts = [raw] if isinstance(raw, str) else raw
            try:
                if name in self._fragments:
                    raise _Wrong("name", "it is taken")
                if not _FRAGMENT.fullmatch(f"{{{name}}}"):
                    raise _Wrong("name", "expected small letters, digits and _")
                if not isinstance(parts, list) or not all(isinstance(p, str) and p for p in parts):
                    raise _Wrong("value", f"expected a text or a list of texts, not {raw!r}")
                self._fragments[name] = "|".join(parts)
            except _Wrong as error:
                problems.append(f"{file}: fragments.{name}: {error}")

    def read_shared(self, file: str, table: Mapping[str, Any], problems: list[str]) -> None:
        for key in table:
            if key not in _PACK_KEYS:
                problems.append(f"{file}: {key}: expected one of {', '.join(_PACK_KEYS)}")
        fragments = table.get("fragments", {})
        for name in fragments if isinstance(fragments, dict) else ():
            try:
                # Nothing or anything may match a part, so that it is tried beside something.
                self._pattern(f"{{{name}}}~", "value")
            except _Wrong as error:
                problems.append(f"{file}: fragments.{name}: {error}")
        self._named(file, "sources", table, self._source, self.sources, problems)
        self._named(file, "words", table, self._word_list, self._words, problems)

    @staticmethod
    def _named(
        file: str,
        kind: str,
        table: Mapping[str, Any],
        read: Callable[[Mapping[str, Any]], Value],
        kept: dict[str, Value],
        problems: list[str],
    ) -> None:
        rows = table.get(kind, {})
        if not isinstance(rows, dict):
            problems.append(f"{file}: {kind}: expected a table")
            return
        for name, raw in rows.items():
            try:
                if name in kept:
                    raise _Wrong("name", "it is taken")
                kept[name] = read(_table(raw, "value"))
            except _Wrong as error:
                problems.append(f"{file}: {kind}.{name}: {error}")

    def _source(self, raw: Mapping[str, Any]) -> Source:
        _only(raw, {"title", "number", "issuer", "effective_from", "held", "note"})
        return Source(
            title=_text(raw, "title"),
            number=_text(raw, "number", ""),
            issuer=_text(raw, "issuer", ""),
            effective_from=_date(raw, "effective_from"),
            held=_one_of(raw, "held", get_args(Evidence)),
            note=_text(raw, "note", ""),
        )

    def _word_list(self, raw: Mapping[str, Any]) -> Words:
        _only(raw, {"patterns", "reach", "window", "heading"})
        sources = _texts(raw, "patterns")
        if not sources:
            raise _Wrong("patterns", "there are none")
        window = raw.get("window", _WINDOW)
        if not isinstance(window, int) or not 1 <= window <= 200:
            raise _Wrong("window", f"expected 1 to 200 characters, not {window!r}")
        reach: Reach = _one_of(raw, "reach", get_args(Reach), "clause")
        over = _texts(raw, "heading")
        heading = self._any_of(over, "heading") if over else None
        return Words(self._any_of(sources, "patterns"), reach, window, heading)

    def rule(self, file: str, raw: object) -> Rule:
        table = _table(raw, "rule")
        _only(table, _RULE_KEYS)
        rule_id = _text(table, "id")
        tasks = _set_of(table, "tasks", get_args(Task))
        channels = _set_of(table, "channels", get_args(Channel))
        effective_from = _date(table, "effective_from")
        effective_to = _date(table, "effective_to")
        if effective_from and effective_to and effective_to < effective_from:
            raise _Wrong("effective_to", "is before effective_from")
        if not tasks:
            raise _Wrong("tasks", f"expected one or more of {', '.join(get_args(Task))}")
        triggers = table.get("triggers")
        if not isinstance(triggers, list) or not triggers:
            raise _Wrong("triggers", "expected one or more")
        read = tuple(self._trigger(t, f"triggers[{i}]") for i, t in enumerate(triggers, 1))
        for place, trigger in enumerate(read, start=1):
            for name, all_of, some in (
                ("tasks", tasks, trigger.tasks),
                ("channels", channels, trigger.channels),
            ):
                beyond = ", ".join(sorted(some - all_of)) if all_of else ""
                if beyond:
                    raise _Wrong(f"triggers[{place}].{name}", f"the rule is not for {beyond}")
        suggestion_en = _text(table, "suggestion_en", "")
        last_day = effective_to or date.max
        # An example is tried as the first task and channel that the rule names.
        first_task: Task = table["tasks"][0]
        first_channel: Channel | None = table["channels"][0] if channels else None

        def examples(name: str) -> tuple[Example, ...]:
            given = table.get(name)
            if not isinstance(given, list) or len(given) < FEWEST_EXAMPLES:
                raise _Wrong(name, f"expected at least {FEWEST_EXAMPLES} examples")
            return tuple(
                self._example(e, f"{name}[{i}]", first_task, first_channel, last_day)
                for i, e in enumerate(given, start=1)
            )

        return Rule(
            id=rule_id,
            file=file,
            title_zh=_text(table, "title_zh"),
            title_en=_text(table, "title_en"),
            tasks=tasks,
            channels=channels,
            severity=_one_of(table, "severity", get_args(Severity)),
            anchor=_one_of(table, "anchor", get_args(Anchor)),
            bases=self._bases(table),
            triggers=read,
            effective_from=effective_from,
            effective_to=effective_to,
            suggestion_zh=_text(table, "suggestion_zh", suggestion_en or None) or suggestion_en,
            suggestion_en=suggestion_en,
            note=_text(table, "note", ""),
            bad=examples("bad"),
            good=examples("good"),
        )

    def _example(
        self, raw: object, where: str, task: Task, channel: Channel | None, last_day: date
    ) -> Example:
        row = {"text": raw} if isinstance(raw, str) else _table(raw, where)
        _only(row, {"text", "task", "channel", "context", "on"}, where)
        try:
            context = read_context(row.get("context", {}), self.context_keys)
        except ContextError as error:
            raise _Wrong(where, str(error)) from None
        return Example(
            text=_text(row, "text", where=where),
            task=_one_of(row, "task", get_args(Task), task, where),
            channel=_one_of(row, "channel", get_args(Channel), channel or "", where) or None,
            context=context,
            on=_date(row, "on", where) or last_day,
        )

    def _bases(self, table: Mapping[str, Any]) -> tuple[Basis, ...]:
        given = table.get("sources")
        if not isinstance(given, list) or not given:
            raise _Wrong("sources", "expected one or more")
        bases = []
        for place, raw in enumerate(given, start=1):
            where = f"sources[{place}]"
            row = _table(raw, where)
            _only(row, {"source", "article", "evidence", "quote", "note"}, where)
            name = _text(row, "source", where=where)
            source = self.sources.get(name)
            if source is None:
                raise _Wrong(f"{where}.source", f"{name!r} is not among the sources of the pack")
            evidence: Evidence = _one_of(row, "evidence", get_args(Evidence), where=where)
            bases.append(
                Basis(
                    name,
                    source.title,
                    _text(row, "article", "", where=where),
                    evidence,
                    _text(row, "quote", "", where=where),
                    _text(row, "note", "", where=where),
                )
            )
        return tuple(bases)

    def _trigger(self, raw: object, where: str) -> Trigger:
        table = _table(raw, where)
        _only(table, _TRIGGER_KEYS, where)

        def patterns(name: str) -> tuple[Pattern, ...]:
            return self._patterns(table, name, where)

        def conditions_of(name: str) -> tuple[ContextCondition, ...]:
            said = _table(table.get(name, {}), f"{where}.{name}")
            return tuple(self._condition(k, v, f"{where}.{name}.{k}") for k, v in said.items())

        check = _text(table, "check", "", where=where)
        if check and check not in CHECKS:
            raise _Wrong(f"{where}.check", f"{check!r} is none of {', '.join(CHECKS)}")
        if check == "costs_add_up" and not isinstance(self._settings.get("apr_block"), Decimal):
            raise _Wrong(f"{where}.check", "costs_add_up needs the setting apr_block")
        evasion = table.get("evasion", True)
        if not isinstance(evasion, bool):
            raise _Wrong(f"{where}.evasion", "expected true or false")
        trigger = Trigger(
            patterns=patterns("patterns"),
            unless=patterns("unless"),
            unless_before=self._excuses(table, "unless_before", where),
            unless_after=self._excuses(table, "unless_after", where),
            only_with=patterns("only_with"),
            unless_with=patterns("unless_with"),
            message_with=patterns("message_with"),
            requires_any=patterns("requires_any"),
            requires_all=patterns("requires_all"),
            figures=tuple(
                self._figure(f, f"{where}.figures[{i}]")
                for i, f in enumerate(_list(table, "figures", where), start=1)
            ),
            question=patterns("question"),
            unless_question=patterns("unless_question"),
            context=conditions_of("context"),
            unless_context=conditions_of("unless_context"),
            check=check,
            evasion=evasion,
            tasks=_set_of(table, "tasks", get_args(Task), where),
            channels=_set_of(table, "channels", get_args(Channel), where),
            severity=_one_of(table, "severity", get_args(Severity), where=where)
            if "severity" in table
            else None,
        )
        conditions = (
            trigger.patterns, trigger.message_with, trigger.requires_any, trigger.requires_all,
            trigger.figures, trigger.question, trigger.context, trigger.check,
        )  # fmt: skip
        if not any(conditions):
            raise _Wrong(where, "has no condition, so it would fire on everything")
        matched = trigger.patterns or trigger.figures or trigger.check
        if trigger.excuses and not matched and not trigger.only_requires:
            raise _Wrong(where, "says what must stand beside a match, but matches nothing")
        return trigger

    def _figure(self, raw: object, where: str) -> FigureCondition:
        row = _table(raw, where)
        _only(row, {"quantity", "over", "under", "at_least", "at_most", "near", "not_near"}, where)
        return FigureCondition(
            quantity=_one_of(row, "quantity", QUANTITIES, where=where),
            bounds=self._bounds(row, where),
            near=self._patterns(row, "near", where),
            not_near=self._patterns(row, "not_near", where),
        )

    def _bounds(self, row: Mapping[str, Any], where: str) -> tuple[tuple[str, str | Decimal], ...]:
        bounds: list[tuple[str, str | Decimal]] = []
        for name in ("over", "under", "at_least", "at_most"):
            if name not in row:
                continue
            bound = row[name]
            if isinstance(bound, str):
                if not isinstance(self._settings.get(bound), Decimal):
                    raise _Wrong(f"{where}.{name}", f"{bound!r} is no setting with a number")
                bounds.append((name, bound))
            elif isinstance(bound, int | float) and not isinstance(bound, bool):
                try:
                    bounds.append((name, _finite(bound)))
                except ValueError as error:
                    raise _Wrong(f"{where}.{name}", str(error)) from None
            else:
                raise _Wrong(f"{where}.{name}", "expected a number or the name of a setting")
        return tuple(bounds)

    def _condition(self, key: str, value: object, where: str) -> ContextCondition:
        kind = self.context_keys.get(key)
        if kind is None:
            known = ", ".join(self.context_keys)
            raise _Wrong(where, f"no such context key; known are {known}")
        if isinstance(value, dict):
            _only(value, {"over", "under", "at_least", "at_most", "within"}, where)
            if "within" in value:
                return ContextCondition(key, within=self._hours(kind, value, where))
            bounds = self._bounds(value, where)
            if not bounds or kind not in ("int", "decimal"):
                raise _Wrong(where, "bounds need a key that is a number, and a bound")
            return ContextCondition(key, bounds=bounds)
        values = value if isinstance(value, list) else [value]
        if not values:
            raise _Wrong(where, "is empty: nothing is ever one of none")
        try:
            return ContextCondition(
                key, is_=tuple(_context_value(key, kind, one) for one in values)
            )
        except ContextError as error:
            raise _Wrong(where, str(error)) from None

    def _hours(
        self, kind: ContextKind, value: Mapping[str, Any], where: str
    ) -> tuple[str | time, str | time]:
        within = value["within"]
        if kind != "instant" or len(value) > 1:
            raise _Wrong(f"{where}.within", "it is for an instant such as `at`, with no bounds")
        if not isinstance(within, list) or len(within) != 2:
            told = "expected two times such as 21:00:00, or settings with one"
            raise _Wrong(f"{where}.within", f"{told}, not {within!r}")
        for one in within:
            if not isinstance(one, time) and not isinstance(self._settings.get(str(one)), time):
                told = f"{one!r} is no setting with a time, and no time such as 21:00:00"
                raise _Wrong(f"{where}.within", told)
        return within[0], within[1]

    def _excuses(self, table: Mapping[str, Any], name: str, where: str) -> tuple[Words, ...]:
        excuses: list[Words] = []
        written: list[str] = []
        for word in _texts(table, name, where):
            if not word.startswith("@"):
                written.append(word)
            elif word[1:] in self._words:
                excuses.append(self._words[word[1:]])
            else:
                raise _Wrong(f"{where}.{name}", f"{word!r} is no list of [words]")
        if written:
            excuses.append(Words(self._any_of(written, f"{where}.{name}"), "clause", _WINDOW))
        return tuple(excuses)

    def _patterns(self, row: Mapping[str, Any], name: str, where: str) -> tuple[Pattern, ...]:
        sources = _texts(row, name, where)
        for source in sources:
            if source[:1] == "@" and (source[1:] in self._words or _LIST.fullmatch(source)):
                told = "lists of words stand in unless_before and unless_after; [@] is the sign"
                raise _Wrong(f"{where}.{name}", f"{source!r}: {told}")
        return tuple(self._pattern(source, f"{where}.{name}") for source in sources)

    def _any_of(self, sources: Sequence[str], where: str) -> Pattern:
        try:
            return self._pattern("|".join(f"(?:{source})" for source in sources), where)
        except _Wrong:
            for source in sources:
                self._pattern(source, where)
            raise

    def _whole(self, source: str, where: str, inside: tuple[str, ...] = ()) -> str:
        """A pattern with the classes of words that it names written out."""

        def written(match: re.Match[str]) -> str:
            name = match[1]
            if name in inside:
                raise _Wrong(where, f"fragment {{{name}}} is part of itself")
            if name not in self._fragments:
                raise _Wrong(where, f"{{{name}}} is none of the fragments of the pack")
            return f"(?:{self._whole(self._fragments[name], where, (*inside, name))})"

        return _FRAGMENT.sub(written, source)

    def _pattern(self, source: str, where: str) -> Pattern:
        try:
            return compile_pattern(self._folding.pattern(self._whole(source, where)))
        except BadPattern as error:
            raise _Wrong(where, str(error)) from None


_OWN_FILE = re.compile(r"(?:settings|variants|channels|[a-z]+-.+)\.toml")


def _own_files(own: Path | None) -> list[Path]:
    if own is None:
        return []
    if own.is_file():
        files = [own]
    else:
        try:
            files = sorted(file for file in own.iterdir() if file.suffix.lower() == ".toml")
        except FileNotFoundError:
            raise RulePackError(f"{own}: no such file or folder") from None
        except OSError as error:
            raise RulePackError(f"{own}: cannot be read ({error.strerror})") from error
        files = [file for file in files if not file.name.startswith(".")]
    for file in files:
        if not _OWN_FILE.fullmatch(file.name):
            raise RulePackError(
                f"{file}: expected settings.toml, variants.toml, channels.toml or "
                "<jurisdiction>-<topic>.toml, in small letters"
            )
    return files


def passed_by(pack: RulePack, own: Path | None) -> dict[str, str]:
    """What in an institution's folder says nothing to this pack, by name, and why."""
    files = {file.name for file in _own_files(own)}
    there = own.iterdir() if own is not None and own.is_dir() else ()
    others = {one.name for one in there if not one.name.startswith(".")} - files
    why = dict.fromkeys(others, "only files of this folder whose names end in .toml are read")
    for name in files - {"channels.toml"}:
        if f"own/{name}" not in pack.files:
            why[name] = f"its rules are not of the pack {pack.jurisdiction}"
        elif not toml_of(pack.files[f"own/{name}"].encode()):
            why[name] = "there is nothing in it but remarks"
    return dict(sorted(why.items()))


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise RulePackError(f"{file}: cannot be read ({error.strerror})") from error


def _toml(file: Path, problems: list[str]) -> Mapping[str, Any]:
    try:
        return toml_of(_bytes(file))
    except ValueError as error:
        problems.append(f"{file.name}: not valid TOML ({error})")
        return {}


def _settings(
    files: Sequence[Path],
    jurisdiction: str,
    known: frozenset[str] | None,
    problems: list[str],
) -> Mapping[str, SettingValue]:
    """The first file says which settings there are, for any jurisdiction and for this one; the
    others change them, and may add some for a jurisdiction that the first does not know."""
    tables = [_toml(file, problems) for file in files]
    shipped = tables[0]
    jurisdictions = sorted({"any", *shipped, *(known or ())})
    of_any = _rows(shipped, "any")
    # A number whose default is a fraction is a rate or a share.
    shares = {
        name
        for of in shipped
        for name, default in _rows(shipped, of).items()
        if isinstance(default, float) and default < 1
    }
    settings: dict[str, SettingValue] = {}
    for file, table in zip(files, tables, strict=True):
        is_own = table is not shipped
        for name, value in table.items():
            if not isinstance(value, dict):
                problems.append(f"{file.name}: {name}: expected it in a table such as [cn]")
            elif is_own and known is not None and name not in jurisdictions:
                told = f"no such jurisdiction; there are {', '.join(jurisdictions)}"
                problems.append(f"{file.name}: {name}: {told}")
        for of in ("any", jurisdiction):
            there_are = of_any if of == "any" else settings
            fixed = is_own and (of == "any" or jurisdiction in shipped)
            for name, value in _rows(table, of).items():
                where = f"{file.name}: {of}.{name}"
                try:
                    read = _setting(name, value, is_share=name in shares)
                except ValueError as error:
                    problems.append(f"{where}: {error}")
                    continue
                default = settings.get(name)
                if fixed and name not in there_are:
                    problems.append(f"{where}: no such setting; there are {', '.join(there_are)}")
                elif default is not None and type(read) is not type(default):
                    problems.append(f"{where}: expected the like of {default}, not {value!r}")
                else:
                    settings[name] = read
            _order(f"{file.name}: {of}", _rows(table, of), settings, problems)
    return settings


def _rows(table: Mapping[str, Any], of: str) -> Mapping[str, Any]:
    rows = table.get(of)
    return rows if isinstance(rows, dict) else {}


def _order(
    where: str, given: Mapping[str, Any], settings: Mapping[str, SettingValue], problems: list[str]
) -> None:
    """What blocks is no less than what warns, where a file says both."""
    for name in given:
        warning = f"{name.removesuffix('_block')}_warn"
        if not name.endswith("_block") or warning not in given:
            continue
        block, warn = settings.get(name), settings.get(warning)
        if isinstance(block, Decimal) and isinstance(warn, Decimal) and block < warn:
            problems.append(f"{where}.{name}: {block} is below {warning}, which is {warn}")


def _setting(name: str, value: object, *, is_share: bool = False) -> SettingValue:
    if name == "timezone" and not (isinstance(value, str) and value in available_timezones()):
        raise ValueError(f"{value!r} is no time zone such as Asia/Shanghai")
    if name == "hours_of" and value not in ("zone", "message"):
        raise ValueError(f"expected zone or message, not {value!r}")
    if name == "currency" and value not in CURRENCIES:
        raise ValueError(f"expected one of {', '.join(CURRENCIES)}, not {value!r}")
    if isinstance(value, time):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = _finite(value)
        if number < 0:
            raise ValueError(f"expected a number from 0, not {value!r}")
        if is_share and number > 1:
            raise ValueError(f"expected a fraction from 0 to 1, as 0.24 is 24 %, not {value!r}")
        return number
    if isinstance(value, str) and value:
        return value
    if isinstance(value, list) and all(isinstance(one, str) and one for one in value):
        return tuple(value)
    raise ValueError(
        f"expected a number, a text, a list of texts or a time such as 21:00:00, not {value!r}"
    )


def _finite(value: float) -> Decimal:
    number = Decimal(str(value))
    if not number.is_finite():
        raise ValueError(f"expected a finite number, not {value!r}")
    return number


def _rules_of(file: str, table: Mapping[str, Any], problems: list[str]) -> Sequence[object]:
    rules = table.get("rules", [])
    if isinstance(rules, list):
        return rules
    problems.append(f"{file}: rules: expected [[rules]]")
    return []


def _table(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _Wrong(where, f"expected a table, not {value!r}")
    return value


def _only(table: Mapping[str, Any], known: Collection[str], where: str = "") -> None:
    for key in table:
        if key not in known:
            raise _Wrong(_at(where, key), f"no such field; known are {', '.join(sorted(known))}")


def _at(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _list(table: Mapping[str, Any], name: str, where: str = "") -> list[Any]:
    value = table.get(name, [])
    if not isinstance(value, list):
        raise _Wrong(_at(where, name), f"expected a list, not {value!r}")
    return value


def _texts(table: Mapping[str, Any], name: str, where: str = "") -> list[str]:
    values = _list(table, name, where)
    for value in values:
        if not isinstance(value, str) or not value:
            raise _Wrong(_at(where, name), f"expected texts, not {value!r}")
    return values


def _text(table: Mapping[str, Any], name: str, default: str | None = None, where: str = "") -> str:
    value = table.get(name, default)
    if not isinstance(value, str) or (not value and default is None):
        raise _Wrong(
            _at(where, name), "expected a text" + ("" if value is None else f", not {value!r}")
        )
    return value


def _kind(raw: object) -> ContextKind | None:
    """What a pack says is said under a key of its own; None where that is nothing known."""
    if isinstance(raw, list) and raw and all(isinstance(word, str) and word for word in raw):
        return tuple(raw)
    return next((form for form in get_args(ContextForm) if form == raw), None)


def _date(table: Mapping[str, Any], name: str, where: str = "") -> date | None:
    value = table.get(name)
    if value is None or (isinstance(value, date) and not isinstance(value, datetime)):
        return value
    raise _Wrong(_at(where, name), f"expected a day such as 2026-09-30, not {value!r}")


def _one_of(
    table: Mapping[str, Any],
    name: str,
    known: Sequence[Any],
    default: str | None = None,
    where: str = "",
) -> Any:
    value = table.get(name, default)
    if value not in known and not (name not in table and default is not None):
        raise _Wrong(_at(where, name), f"expected one of {', '.join(known)}, not {value!r}")
    return value


def _set_of(
    table: Mapping[str, Any], name: str, known: Sequence[Any], where: str = ""
) -> frozenset[Any]:
    values = _texts(table, name, where)
    for value in values:
        if value not in known:
            raise _Wrong(_at(where, name), f"{value!r} is none of {', '.join(known)}")
    if name in table and not values:
        raise _Wrong(_at(where, name), "is empty: leave it out, or name some")
    return frozenset(values)
