"""Which calculation a message asks for, and with what: read by patterns and figures, never guessed.

Tools, patterns and the words around a figure that tell what it is are data: tools.toml. A figure of
which nothing tells what it is leaves the reading unclear, and the borrower is asked.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from prompts.render import version_of

from . import figures
from .figures import Figure
from .matching import BadPattern, Pattern, compile_pattern
from .triage import comparable

SHIPPED = Path(__file__).with_name("tools.toml")

FigureKind = Literal["amount", "rate", "terms", "days", "position", "date", "discount", "multiple"]

ASKED_ABOUT: tuple[FigureKind, ...] = ("amount", "rate", "discount")
"""What changes a calculation, so that one of these that nothing explains is asked about."""
LEAST_BARE = 50
"""A number without a unit below this is no amount: people count loans and times so."""
LEAST_ANNUAL = Decimal("0.035")
"""A rate without a period is a yearly one from here on; below it, it may be a monthly or daily one,
and is asked about."""
_LISTED = re.compile(r",(?!(?<=[0-9],)[0-9]{3}(?![0-9]))|\u3001")
"""What stands between figures of a list, which would share the unit of the last: what a borrower
strings together is none. A comma within a number stays."""

MOST_CUTS = 8
"""At how many places at most it is tried to part two plans; a message with more compares no two,
and all of it is read anew at each."""

MOST_TERMS = 4
"""Terms of one plan that are told at once."""

_LATELY = timedelta(days=183)

_EXPONENT = re.compile(r"[0-9.]e[+-]?$")
"""Before a figure: it is the exponent of a number, as machines write it."""

MONTHS = 12
HALF, HALF_A_MONTH = Decimal("0.5"), Decimal(15)
"""Half a month is said for so many days."""
YEAR_OF = {"year": 1, "month": 12, "day": 365}


class ToolsError(Exception):
    """The data of the tools cannot be used; the message names what is wrong."""


@dataclass(frozen=True, slots=True)
class Role:
    """What a figure is by the words before or behind it."""

    argument: str
    kind: FigureKind
    before: re.Pattern[str] | None
    after: re.Pattern[str] | None
    text: re.Pattern[str] | None
    """What the figure itself has to be like."""
    weak: bool
    """Whether a figure of which more is told stands in place of it."""


@dataclass(frozen=True, slots=True)
class ToolRow:
    """A tool that a borrower's message may call."""

    id: str
    about: str
    """For models that choose."""
    own: bool
    """Whether it reads the verified customer's record; then only a signed-in one may call it."""
    only_record: bool
    """Whether nothing but that record answers it: no clause does for who is not signed in."""
    patterns: tuple[Pattern, ...]
    unless: tuple[Pattern, ...]
    least: frozenset[FigureKind]
    """Kinds of figures without which a message does not ask for it."""
    without: frozenset[FigureKind]
    """Kinds of figures with which it asks for something else."""
    if_complete: bool
    """Whether a message asks for it only if it gives all that it takes."""
    back: bool
    """Whether what it tells lies behind: a month without its year is the last one of that number,
    and a day gone by is when something fell due, not the day as of which it is asked."""
    takes: tuple[str, ...]
    """Arguments that it can be given."""
    default: Mapping[FigureKind, str]
    """What a figure is that no word around it tells of."""
    exempt: frozenset[str]
    """Rules that do not bind what it tells, such as those about what the lender offers."""


@dataclass(frozen=True, slots=True)
class Words:
    """Wordings that stand for the value of an argument."""

    argument: str
    value: str
    pattern: Pattern


@dataclass(frozen=True, slots=True)
class Day:
    """Wordings that stand for a day, by how far it is from today."""

    pattern: re.Pattern[str]
    days: int | None
    """Times the number in the group `count`, where the pattern has it."""
    months: int | None
    """With the day of the month in the group `day`, or the last one of the month."""
    loose: bool
    """Whether it is said of much else, so that it begins and ends no time."""


@dataclass(frozen=True, slots=True)
class Month:
    """Wordings that stand for a month, by how many it is after this one."""

    pattern: re.Pattern[str]
    months: int


@dataclass(frozen=True, slots=True)
class Answering:
    """How a message gives what its borrower was asked for."""

    forms: Mapping[str, Mapping[str, Mapping[str, str]]]
    """Argument that may be asked for -> `number`, without its unit, or `figure`, with it -> `zh`
    and `en` -> what one alone is said as; where there is none, it does not tell what it is."""
    joined: Mapping[str, str]
    """`zh` and `en` -> a question with what was given."""
    number: re.Pattern[str]
    """A number without its unit."""
    edges: re.Pattern[str]
    """What says nothing, before or behind what is given."""
    words: Pattern
    """What may stand beside figures in a message that asks and tells nothing else."""


@dataclass(frozen=True, slots=True)
class ToolBook:
    """All that messages are read by."""

    version: str
    source: str
    tools: tuple[ToolRow, ...]
    roles: tuple[Role, ...]
    words: tuple[Words, ...]
    days: tuple[Day, ...]
    months: tuple[Month, ...]
    unread_days: Pattern
    """Words for a day that is not understood."""
    past_days: Pattern
    """Words for a day that is over."""
    others: tuple[Pattern, ...]
    """Somebody else's record."""
    not_held: tuple[Pattern, ...]
    """What is one's own and stands in no record that can be looked up."""
    not_held_unless: tuple[Pattern, ...]
    own_hints: tuple[Pattern, ...]
    """One's own record, of some kind or other."""
    given_hints: tuple[Pattern, ...]
    """A calculation of some kind or other."""
    hints_unless: tuple[Pattern, ...]
    spellings: tuple[tuple[re.Pattern[str], str], ...]
    """What is written otherwise than it is meant, and what stands for it."""
    breaks: re.Pattern[str]
    bare_rates: re.Pattern[str]
    """A yearly rate said without its sign, in the group `rate`."""
    spelt_rates: re.Pattern[str]
    """The same in characters."""
    bare_ends: re.Pattern[str]
    """The upper end of a range of rates, said without its sign."""
    short_tens: re.Pattern[str]
    """An amount said as people do, without its last unit: groups `whole`, `scale` and `tenth`."""
    daily: re.Pattern[str]
    """A rate that is one a day, as people say it."""
    parts: tuple[re.Pattern[str], ...]
    """What stands between two plans that are compared, what tells most first."""
    each: re.Pattern[str]
    """That several terms are each asked about."""
    yearly: re.Pattern[str]
    """Stands before percentage points that are the rate itself, and not what it changes by."""
    vague: re.Pattern[str]
    """A figure that is about so much, with the word behind it."""
    and_more: re.Pattern[str]
    """That word."""
    signed: re.Pattern[str]
    """Behind a day that a contract was signed on."""
    answering: Answering | None
    """None in books from before answers were understood."""

    def row(self, tool: str) -> ToolRow | None:
        return next((row for row in self.tools if row.id == tool), None)


@dataclass(frozen=True, slots=True)
class Asked:
    """A tool and the arguments that a message gives."""

    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    own: bool = False
    """Whether it reads the customer's record."""
    unclear: tuple[str, ...] = ()
    """Figures, verbatim, of which nothing tells what they are."""
    vague: tuple[str, ...] = ()
    """Figures, verbatim, that are said as about so much, or from so much to so much."""


def load_tools(file: Path = SHIPPED) -> ToolBook:
    """Raises ToolsError."""
    return of_text(file.read_text(encoding="utf-8"))


@lru_cache(maxsize=4)
def of_text(source: str) -> ToolBook:
    """Raises ToolsError."""
    try:
        table = tomllib.loads(source)
        parts: Mapping[str, str] = table["parts"]

        def filled(pattern: str) -> str:
            # A part may hold others.
            return re.sub("<<([a-z_]+)>>", lambda match: filled(parts[match.group(1)]), pattern)

        def compiled(row: Mapping[str, Any], name: str) -> tuple[Pattern, ...]:
            return tuple(compile_pattern(filled(pattern)) for pattern in row.get(name, ()))

        def anchored(row: Mapping[str, Any], name: str) -> re.Pattern[str] | None:
            if name not in row:
                return None
            written = filled(row[name])
            return re.compile(f"(?:{written})$" if name == "before" else f"^(?:{written})")

        return ToolBook(
            version=version_of(source),
            source=source,
            tools=tuple(
                ToolRow(
                    id=row["id"],
                    about=row["about"],
                    own=row["own"],
                    only_record=row.get("only_record", False),
                    patterns=compiled(row, "patterns"),
                    unless=compiled(row, "unless"),
                    least=frozenset(row.get("least", ())),
                    without=frozenset(row.get("without", ())),
                    if_complete=row.get("if_complete", False),
                    back=row.get("back", False),
                    takes=tuple(row.get("takes", ())),
                    default=dict(row.get("default", {})),
                    exempt=frozenset(row.get("exempt", ())),
                )
                for row in table["tool"]
            ),
            roles=tuple(
                Role(
                    row["argument"],
                    row["kind"],
                    anchored(row, "before"),
                    anchored(row, "after"),
                    re.compile(row["text"]) if "text" in row else None,
                    row.get("weak", False),
                )
                for row in table["role"]
            ),
            words=tuple(
                Words(row["argument"], row["value"], compile_pattern(filled(row["pattern"])))
                for row in table["words"]
            ),
            days=tuple(
                Day(
                    re.compile(filled(row["pattern"])),
                    row.get("days"),
                    row.get("months"),
                    row.get("loose", False),
                )
                for row in table["day"]
            ),
            months=tuple(
                Month(re.compile(filled(row["pattern"])), row["months"]) for row in table["month"]
            ),
            unread_days=compile_pattern(filled(table["unread_days"])),
            past_days=compile_pattern(filled(table["past_days"])),
            others=compiled(table, "others"),
            not_held=compiled(table, "not_held"),
            not_held_unless=compiled(table, "not_held_unless"),
            own_hints=compiled(table, "own_hints"),
            given_hints=compiled(table, "given_hints"),
            hints_unless=compiled(table, "hints_unless"),
            spellings=tuple((re.compile(filled(of)), meant) for of, meant in table["spellings"]),
            breaks=re.compile(filled(table["breaks"])),
            bare_rates=re.compile(filled(table["bare_rates"])),
            spelt_rates=re.compile(filled(table["spelt_rates"])),
            bare_ends=re.compile(filled(table["bare_ends"])),
            short_tens=re.compile(filled(table["short_tens"])),
            daily=re.compile(filled(table["daily"])),
            parts=tuple(re.compile(filled(pattern)) for pattern in table["between"]),
            each=re.compile(filled(table["each"])),
            yearly=re.compile(table["yearly"]),
            vague=re.compile(table["vague"]),
            and_more=re.compile(table["and_more"]),
            signed=re.compile(table["signed"]),
            answering=_answering(table["answering"]) if "answering" in table else None,
        )
    except (
        tomllib.TOMLDecodeError,
        KeyError,
        TypeError,
        ValueError,
        BadPattern,
        re.error,
        RecursionError,
    ) as error:
        raise ToolsError(f"tools: {type(error).__name__}: {error}") from None


def _answering(table: Mapping[str, Any]) -> Answering:
    edges = table["edges"]
    return Answering(
        forms={row["argument"]: row for row in table["form"]},
        joined={name: table[name] for name in ("zh", "en")},
        number=re.compile(table["number"], re.IGNORECASE),
        edges=re.compile(f"^(?:{edges})+|(?:{edges})+$", re.IGNORECASE),
        words=compile_pattern(table["words"]),
    )


def seen(book: ToolBook, text: str) -> str:
    """A message as patterns and figures see it."""
    said = comparable(text)
    for written, meant in book.spellings:
        said = written.sub(meant, said)
    said = book.short_tens.sub(r"\g<whole>.\g<tenth>\g<scale>", said)
    said = book.bare_rates.sub(r"\g<0>%", said)
    said = book.spelt_rates.sub(r"\g<before>百分之\g<rate>", said)
    said = book.bare_ends.sub(r"\g<0>%", said)
    return _LISTED.sub(";", book.breaks.sub(r",\1", said))


def read(book: ToolBook, text: str, today: date) -> Asked | None:
    """The tool that a message asks for; None where the patterns tell of none."""
    said = seen(book, text)
    kinds = _kinds_of(book, said, today)
    for row in book.tools:
        if (
            row.least <= kinds
            and not row.without & kinds
            and any(pattern.within(said) for pattern in row.patterns)
            and not any(pattern.within(said) for pattern in row.unless)
        ):
            asked = read_arguments(book, row, text, today)
            if not row.if_complete or all(asked.arguments.get(name) for name in row.takes):
                return asked
    return None


def with_answer(
    book: ToolBook, called: str, argument: str, question: str, given: str, today: date
) -> str | None:
    """A question with what a message gives whose borrower was asked for an argument of its tool.

    called: tools that the question ran, joined by `+`. The question as it is where what is given is
    not what was asked for, so that it is asked for again. None where the question lacks nothing, or
    the message says anything but figures, words for values and what they are of.
    """
    how = book.answering
    asked = _told(book, called, argument, question, today)
    if how is None or argument not in how.forms or asked is None or _has(asked, argument):
        return None
    core = how.edges.sub("", given)
    bare = how.number.fullmatch(core)
    if not core or not (bare or _only_gives(book, how, core)):
        return None
    language = "zh" if _CHINESE.search(question + core) else "en"
    found = figures.find(core)
    leads = bool(bare or (found and not found[0].span[0]))
    forms = how.forms[argument].get("number" if bare else "figure", {})
    ways = [forms[language].format(core)] if forms and leads else []
    # Of a number alone nothing but what was asked for tells what it is.
    ways += [] if bare else [core]
    for words in ways:
        made = how.joined[language].format(question=question, given=words)
        after = _told(book, called, argument, made, today)
        if after and _adds(asked, after) and (_has(after, argument) or words == core):
            return made
    rest = core[found[0].span[1] :] if leads and not bare else ""
    return question if leads and (not rest or book.and_more.fullmatch(rest)) else None


_CHINESE = re.compile(r"[\u3400-\u9fff]")


def _told(book: ToolBook, called: str, argument: str, question: str, today: date) -> Asked | None:
    """The tool that a question asks for; by one of those that a model called, where the patterns
    tell of none."""
    if asked := read(book, question, today):
        return asked
    ran = called.split("+")
    row = next((r for r in book.tools if r.id in ran and argument in r.takes), None)
    return read_arguments(book, row, question, today) if row else None


def _has(asked: Asked, argument: str) -> bool:
    return asked.arguments.get(argument) is not None


def _adds(before: Asked, after: Asked) -> bool:
    """Whether one more thing is told, all else being as it was."""
    held = {name: value for name, value in before.arguments.items() if value is not None}
    told = {name: value for name, value in after.arguments.items() if value is not None}
    return (
        after.own == before.own
        and not (after.unclear or after.vague)
        and held.items() < told.items()
    )


def _only_gives(book: ToolBook, how: Answering, given: str) -> bool:
    """Whether a message has nothing but figures, words for values or days, and what they are of."""
    said = seen(book, given)
    spans = [figure.span for figure in figures.find(said)]
    for pattern in (how.words, *(words.pattern for words in book.words)):
        spans += pattern.spans(said)
    for day in book.days:
        spans += [match.span() for match in day.pattern.finditer(said)]
    left = "".join(char for at, char in enumerate(said) if not any(a <= at < b for a, b in spans))
    return not re.search(r"[^\W_]|[?？]", left)


def _kinds_of(book: ToolBook, said: str, today: date) -> set[FigureKind]:
    """Kinds of the figures of a message; from one day to another are days too."""
    kinds = {kind for kind, _ in _kinds(book, said)}
    return kinds | {"days"} if _days_between(book, said, today) else kinds


def candidates(book: ToolBook, text: str) -> tuple[ToolRow, ...]:
    """Tools that a message may ask for where no pattern tells; none where nothing hints at any."""
    said = seen(book, text)
    if any(pattern.within(said) for pattern in book.hints_unless):
        return ()
    hinted = {
        own: any(pattern.within(said) for pattern in patterns)
        for own, patterns in ((True, book.own_hints), (False, book.given_hints))
    }
    kinds = {kind for kind, _ in _kinds(book, said)}
    rows = (
        row
        for row in book.tools
        if hinted[row.own] and row.least <= kinds and not row.without & kinds
    )
    return tuple({row.id: row for row in rows}.values())


def asks_of_others(book: ToolBook, text: str) -> bool:
    """Whether a message is about somebody else's record."""
    said = seen(book, text)
    return any(pattern.within(said) for pattern in book.others)


def asks_not_held(book: ToolBook, text: str) -> bool:
    """Whether a message asks for what is one's own and stands in no record, such as a card number;
    how it is seen or changed is a question of its own."""
    said = seen(book, text)
    return any(pattern.within(said) for pattern in book.not_held) and not any(
        pattern.within(said) for pattern in book.not_held_unless
    )


def read_arguments(book: ToolBook, row: ToolRow, text: str, today: date) -> Asked:
    """The arguments of a tool that a message gives."""
    said = seen(book, text)
    if "a" in row.takes:
        return _read_plans(book, row, said)
    arguments, unclear, vague = _arguments(book, row, said)
    if "month" in row.takes and (month := _month(book, said, today, back=row.back)):
        arguments["month"] = month
    if "on" in row.takes:
        day = _day(book, said, today)
        is_past = book.past_days.within(said) or (day is not None and day < today)
        # A day that cannot be told is asked for: today's figures are not those of another day.
        is_told = is_past or book.unread_days.within(said) or _has_day(book, said)
        if not (row.back and is_past) and (day is not None or is_told):
            arguments["on"] = day
    for name in {"days", "days_overdue"} & set(row.takes) - arguments.keys():
        if days := _days_between(book, said, today):
            arguments[name] = days
    own = tuple(_as_written(each, comparable(text)) for each in vague)
    return Asked(row.id, arguments, row.own, unclear, own)


def _as_written(said: str, text: str) -> str:
    """A figure as the message has it, without the signs that were put to it."""
    plain = said.replace("%", "")
    return plain if said not in text and plain in text else said


def _kinds(book: ToolBook, said: str) -> Iterator[tuple[FigureKind, Figure]]:
    """The figures of a message that calculations know, and what they are."""
    for figure in figures.find(said):
        if figure.kind == "phone" and re.fullmatch(r"[0-9]{3,6}", figure.text):
            # A short number without a unit is one of a service, or an amount: here, an amount.
            figure = replace(figure, kind="count", value=Decimal(figure.text))
        if figure.kind == "term" and figure.unit == "month" and figure.value == HALF:
            figure = replace(figure, unit="day", value=HALF_A_MONTH)
        if figure.unit == "point" and book.yearly.search(said[: figure.span[0]]):
            figure = replace(figure, unit="year")
        kind = _kind(figure)
        if kind is not None:
            yield kind, figure


_YUAN_IN_CANTONESE = "\u868a"


def _kind(figure: Figure) -> FigureKind | None:
    match figure.kind, figure.unit:
        case "money", "CNY":
            return "amount"
        case "money", "$" if figure.text.endswith(_YUAN_IN_CANTONESE):
            return "amount"
        case "count", "" if isinstance(figure.value, Decimal) and figure.value >= LEAST_BARE:
            return "amount"
        case "rate", "year" | "month" | "day" | "":
            return "rate"
        case "term", "period" | "month":
            return "terms"
        case "term", "day":
            return "days"
        case "position", _:
            return "position"
        case "date", _:
            return "date"
        case "discount", _:
            return "discount"
        case "count", "倍":
            return "multiple"
        case "count", "次" if figure.text.endswith("times"):
            return "multiple"
        case _:
            return None


@dataclass(frozen=True, slots=True)
class _Heard:
    """A figure that is an argument."""

    figure: Figure
    value: Any
    """None where it is not clear what it says."""
    weak: bool
    vague: bool


def _arguments(
    book: ToolBook, row: ToolRow, said: str
) -> tuple[dict[str, Any], tuple[str, ...], tuple[str, ...]]:
    """Arguments by name, and the figures that are unclear, or vague."""
    heard: dict[str, list[_Heard]] = {}
    untold: list[Figure] = []
    unclear: list[Figure] = []
    for kind, figure in _kinds(book, said):
        if kind == "date" or not isinstance(figure.value, Decimal):
            continue
        name, weak = _role(book, row, kind, figure, said)
        if kind == "rate" and not figure.unit and book.daily.search(figure.text):
            figure = replace(figure, unit="day")
        if name == "":
            untold.append(figure)
        elif name in row.takes:
            value = _value(kind, name, figure, said)
            heard.setdefault(name, []).append(
                _Heard(figure, value, weak, _is_vague(book, figure, said))
            )
    arguments: dict[str, Any] = {}
    vague: list[str] = []
    for name, figures_of in heard.items():
        counted = _counted(figures_of, said)
        values = list(dict.fromkeys(each.value for each in counted))
        if about := [each for each in counted if each.vague]:
            vague += [_as_said(book, each.figure, said) for each in about]
        elif None in values:
            unclear += [each.figure for each in counted if each.value is None]
        elif len(values) == 1 or (name == "terms" and _each_asked(book, row, values, said)):
            arguments[name] = values[0]
            if values[1:]:
                arguments["more_terms"] = tuple(values[1:])
        else:
            arguments[name] = values[0]
            unclear += [each.figure for each in counted if each.value != values[0]]
        if name in ("annual_rate", "daily_rate") and name in arguments:
            arguments["rate_said"] = counted[0].figure.unit or "year"
    for words in book.words:
        taken = words.argument in row.takes and words.argument not in arguments
        if taken and words.pattern.within(said):
            arguments[words.argument] = words.value
    # What is said once more is no other figure.
    again = {each.figure.value for held in heard.values() for each in held if not each.vague}
    unclear += [figure for figure in untold if figure.value not in again]
    unclear.sort(key=lambda figure: figure.span)
    return arguments, tuple(figure.text for figure in unclear), tuple(vague)


def _counted(heard: list[_Heard], said: str) -> list[_Heard]:
    """Those that count: of an argument of which something tells what it is, what only might be it
    does not, unless it is put beside it."""
    if all(each.weak for each in heard):
        return heard
    return [
        each
        for before, each in zip([None, *heard], heard, strict=False)
        if not each.weak or (before and _BESIDE.fullmatch(_between(before, each, said)))
    ]


_BESIDE = re.compile(r"\s*|[^,;]{0,3}(还是|或者?|和|跟|与|同|到|至|\bor\b|\band\b|[;~-])[^,;]{0,3}")


def _between(one: _Heard, other: _Heard, said: str) -> str:
    return said[one.figure.span[1] : other.figure.span[0]]


def _each_asked(book: ToolBook, row: ToolRow, values: Sequence[Any], said: str) -> bool:
    """Whether a plan is asked about with each of several terms."""
    whole = all(isinstance(value, int) for value in values)
    return (
        "more_terms" in row.takes
        and whole
        and len(values) <= MOST_TERMS
        and bool(book.each.search(said))
    )


def _is_vague(book: ToolBook, figure: Figure, said: str) -> bool:
    return figure.upper is not None or bool(book.vague.search(_as_said(book, figure, said)))


def _as_said(book: ToolBook, figure: Figure, said: str) -> str:
    """A figure with the word behind it that makes it an about."""
    more = book.and_more.match(said[figure.span[1] :])
    return figure.text + (more.group() if more else "")


def _role(
    book: ToolBook, row: ToolRow, kind: FigureKind, figure: Figure, said: str
) -> tuple[str, bool]:
    """What a figure is: an argument, and whether that is only likely; empty where nothing tells."""
    before, after = said[: figure.span[0]].rstrip(" -负"), said[figure.span[1] :].lstrip()
    roles = [
        role
        for role in book.roles
        if role.kind == kind
        and (not role.text or role.text.search(figure.text))
        and (role.argument in row.takes or role.argument == "-")
    ]
    # What stands before a figure tells more than what comes behind it, which may be of the next.
    for role in roles:
        if role.before and role.before.search(before[-24:]):
            return role.argument, role.weak
    for role in roles:
        if role.after and role.after.search(after[:24]):
            return role.argument, role.weak
    # Of a record everything is known but what a tool takes: the rest of the figures only describe.
    default = row.default.get(kind, "" if kind in ASKED_ABOUT and not row.own else "-")
    return default, True


def _value(kind: FigureKind, name: str, figure: Figure, said: str) -> Any:
    """The value of a figure as the argument takes it; None where it is not clear what it says."""
    value = figure.value
    if not isinstance(value, Decimal) or figure.upper is not None:
        return None
    before = said[: figure.span[0]]
    if _EXPONENT.search(before):
        return None
    if re.search(r"[-负]\s*$", before) and kind in ("amount", "rate"):
        value = -value
    if kind == "terms" and (told := _told_twice(figure)) is not None:
        value = told
    if kind in ("terms", "days", "position"):
        return int(value) if value == int(value) else value
    if kind == "multiple":
        return value - 1 if value > 1 else None
    if kind == "rate" and name == "annual_rate":
        unit = figure.unit or ("year" if abs(value) >= LEAST_ANNUAL or not value else "")
        return value * YEAR_OF[unit] if unit else None
    return value


def _told_twice(figure: Figure) -> Decimal | None:
    """The months of a term that is said in years and again in months, which add up to no term."""
    months = re.search(r"[年] ?(\S+)", figure.text)
    again = [f.value for f in figures.find(months.group(1))] if months else []
    if len(again) == 1 and isinstance(again[0], Decimal) and again[0] >= MONTHS:
        return again[0] if figure.value == 2 * again[0] else Decimal(0)
    return None


def _read_plans(book: ToolBook, row: ToolRow, said: str) -> Asked:
    """Two plans that are compared: what one of them lacks, the other one says for both."""
    plan = ToolRow(
        id="plan",
        about="",
        own=False,
        only_record=False,
        patterns=(),
        unless=(),
        least=frozenset(),
        without=frozenset(),
        if_complete=False,
        back=False,
        takes=("principal_cny", "annual_rate", "terms", "method", "term_fee_rate"),
        default={"amount": "principal_cny", "rate": "annual_rate", "terms": "terms"},
        exempt=frozenset(),
    )
    best: Asked | None = None
    for between in book.parts:
        for match in islice(between.finditer(said), MOST_CUTS):
            left, *doubts = _arguments(book, plan, said[: match.start()])
            right, *others = _arguments(book, plan, said[match.end() :])
            if not left or not right:
                continue
            a, b = {**_shared(right, left), **left}, {**_shared(left, right), **right}
            if a != b:
                asked = Asked(row.id, {"a": a, "b": b}, unclear=sum((*doubts, *others), ()))
                if not asked.unclear:
                    return asked
                best = best or asked
    whole, unclear, vague = _arguments(book, plan, said)
    return best or Asked(row.id, {"a": whole, "b": {}}, unclear=unclear, vague=vague)


def _shared(of: Mapping[str, Any], to: Mapping[str, Any]) -> dict[str, Any]:
    """What one plan says that holds for the other too: not a rate where that has a fee."""
    priced = {"annual_rate", "term_fee_rate", "rate_said"}
    return {
        name: value for name, value in of.items() if not (name in priced and priced & to.keys())
    }


def _day(book: ToolBook, said: str, today: date) -> date | None:
    """The day that a message names; None where it names none, or several."""
    found = {day for day in (_dated(f, today) for f in figures.find(said)) if day}
    if found:
        return found.pop() if len(found) == 1 else None
    for row in book.days:
        if match := row.pattern.search(said):
            return _relative(row, match, today)
    bare = {day for day in (_of_month(f, today) for f in figures.find(said)) if day}
    return bare.pop() if len(bare) == 1 else None


def _has_day(book: ToolBook, said: str) -> bool:
    """Whether a message names a day, be it one that there is or not."""
    by_words = any(row.pattern.search(said) for row in book.days)
    return by_words or any(figure.kind == "date" for figure in figures.find(said))


def _days_between(book: ToolBook, said: str, today: date) -> int:
    """Days from the first to the last of two days that a message names; 0 where it does not.

    A day that is only a number is of the month of the other, or of any; from a later number to an
    earlier one it is not told how many days there are.
    """
    days = list(dict.fromkeys(_days_named(book, said, today)))
    if len(days) > 2:
        days = [day for day in days if day != today]
    if len(days) != 2:
        return 0
    first, last = days
    if isinstance(first, int):
        number = last if isinstance(last, int) else last.day
        return max(number - first, 0)
    if isinstance(last, int):
        month = _months_later(first, int(last <= first.day))
        try:
            last = month.replace(day=last)
        except ValueError:
            return 0
    return max((last - first).days, 0)


def _days_named(book: ToolBook, said: str, today: date) -> Iterator[date | int]:
    """The days that a message names, in order; as a number where they are only that."""
    words = [
        (match.span(), day)
        for row in book.days
        if not row.loose
        for match in row.pattern.finditer(said)
        if (day := _relative(row, match, today))
    ]
    named: list[tuple[tuple[int, int], date | int]] = []
    spans = [
        *(span for span, _ in words),
        *(f.span for f in figures.find(said) if f.kind == "date"),
    ]
    # Of `today, the 20th` the number is what is told.
    words = [
        (span, day)
        for span, day in words
        if not any(span[1] <= start and said[span[1] : start] in _SAME for start, _ in spans)
    ]
    for figure in figures.find(said):
        start, end = figure.span
        if figure.kind != "date" or book.signed.match(said[end:]):
            continue
        if any(s <= start and end <= e for (s, e), _ in words):
            continue
        bare = re.fullmatch(r"---(\d{2})", str(figure.value))
        year = next((d.year for _, d in reversed(named) if isinstance(d, date)), None)
        told = int(bare.group(1)) if bare else _dated(figure, today, year)
        if told:
            named.append((figure.span, told))
    covered: list[tuple[int, int]] = []
    for span, day in words:
        if not any(s < span[1] and span[0] < e for s, e in covered):
            covered.append(span)
            named.append((span, day))
    yield from (day for _, day in sorted(named, key=lambda each: each[0]))


_SAME = ("", ",", "是", "就是")
"""Between two words for the same day."""


def _month(book: ToolBook, said: str, today: date, *, back: bool) -> date | None:
    """First day of the month that a message names; None where it names none, or several. Without
    its year it is the next one of that number, or the last one; this month is both."""
    months = set()
    for figure in figures.find(said):
        named = figure.kind == "date" and re.match(_A_MONTH, str(figure.value))
        if named:
            number = int(named.group(2))
            year = today.year + (-(number > today.month) if back else number < today.month)
            months.add(date(year if named.group(1) == "-" else int(named.group(1)), number, 1))
    if not months:
        later = (words.months for words in book.months if words.pattern.search(said))
        months = {_months_later(today, count) for count in later}
    return months.pop() if len(months) == 1 else None


_A_MONTH = re.compile(r"([0-9]{4}|-)-([0-9]{2})(?:-|$)")


def _months_later(day: date, months: int) -> date:
    """First day of a month, so many after that of a day."""
    month = day.year * MONTHS + day.month - 1 + months
    return date(month // MONTHS, month % MONTHS + 1, 1)


def _dated(figure: Figure, today: date, year_before: int | None = None) -> date | None:
    """The day of a whole date. Without its year it is of that of the day named before it; else the
    next one, or the one that went by lately: nobody names a day of last month and means next
    year's."""
    match = figure.kind == "date" and re.fullmatch(r"(\d{4}|-)-(\d{2})-(\d{2})", str(figure.value))
    if not match:
        return None
    month, day = int(match.group(2)), int(match.group(3))
    is_whole = match.group(1) != "-"
    if year_before and not is_whole:
        years, is_whole = [year_before], True
    else:
        years = [int(match.group(1))] if is_whole else [today.year, today.year + 1]
    for year in years:
        try:
            named = date(year, month, day)
        except ValueError:
            continue
        if is_whole or named >= today - _LATELY:
            return named
    return None


def _of_month(figure: Figure, today: date) -> date | None:
    """The next day of that number, of this month or the next, where it is only a number."""
    match = figure.kind == "date" and re.fullmatch(r"---(\d{2})", str(figure.value))
    if not match:
        return None
    number = int(match.group(1))
    month = _months_later(today, int(number < today.day))
    try:
        return month.replace(day=number)
    except ValueError:
        return None


def _relative(row: Day, match: re.Match[str], today: date) -> date | None:
    said = match.groupdict()
    try:
        if row.days is not None:
            count = _number(said["count"]) if "count" in said else 1
            return today + timedelta(days=row.days * count)
        assert row.months is not None
        first = _months_later(today, row.months)
        if said.get("day") is None:
            return _months_later(first, 1) - timedelta(days=1)
        return first.replace(day=int(said["day"]))
    except (ValueError, OverflowError):
        return None


def _number(written: str) -> int:
    """A count in digits or characters. Raises ValueError."""
    found = [f.value for f in figures.find(f"{written} days") if isinstance(f.value, Decimal)]
    if len(found) != 1:
        raise ValueError(f"{written!r}: expected a count")
    return int(found[0])


_KIND_OF = {"terms": "terms", "term": "position", "uplift": "rate", "on": "date"}


def labelled(
    book: ToolBook, row: ToolRow, text: str, today: date, named: Mapping[str, Any]
) -> Asked:
    """A tool with the arguments that somebody else read in the message.

    Only what a figure of the message is was told by them: a value that stands nowhere in it is
    left out, and what the patterns read stands beside it.
    """
    asked = read_arguments(book, row, text, today)
    said = seen(book, text)
    given = dict(asked.arguments)
    unclear = list(asked.unclear)
    for name, value in named.items():
        kind = _kind_of(name)
        if name not in row.takes or kind is None:
            continue
        for held, figure in _kinds(book, said):
            if held != kind or not _same(figure, value):
                continue
            if kind == "rate" and not figure.unit and book.daily.search(figure.text):
                figure = replace(figure, unit="day")
            read_value = _value(kind, name, figure, said)
            if read_value is not None:
                given[name] = read_value
                unclear = [text for text in unclear if text != figure.text]
    return Asked(row.id, given, row.own, tuple(unclear), asked.vague)


def _kind_of(argument: str) -> FigureKind | None:
    if argument in _KIND_OF:
        return _KIND_OF[argument]  # type: ignore[return-value]
    endings: Mapping[str, FigureKind] = {"_cny": "amount", "_rate": "rate", "days": "days"}
    return next((kind for end, kind in endings.items() if end in argument), None)


def _same(figure: Figure, value: object) -> bool:
    """Whether a value that was named is that of a figure, in the figure's own unit."""
    found = [f.value for f in figures.find(str(value))]
    plain = re.fullmatch(r"\s*-?([0-9]+(?:\.[0-9]+)?)\s*", str(value))
    numbers = [Decimal(plain.group(1))] if plain else []
    if figure.kind == "rate":
        numbers += [number / 100 for number in numbers]
    return figure.value in [*found, *numbers]
