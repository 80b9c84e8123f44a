"""What a borrower's question may have calculated or looked up, and how that is told.

A tool reads the verified customer's record, or works with what the message gives; none takes a
customer's id. What a contract says comes from its clauses, which are cited. Sentences are filled by
code from curated wording, and the gate holds each to the figures of its calculation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Literal

from knowledge.documents import Clause
from knowledge.lender import Lender
from knowledge.terms import Stated, Terms, stated
from prompts.render import calculated, calculations

from . import loan_math
from .asked import Asked
from .customers import Application, Coupon, CustomerDataBroken, CustomerFault, Instalment, Loan
from .gate import Draft
from .known import Known
from .loan_math import BadArgument
from .models import LOCALES, Calculation, Citation, Locale, Status

ZERO = Decimal("0.00")
_SHOWN_RATE = Decimal("0.0001")
"""Calculated rates are told to a hundredth of a per cent."""

_SHOWN_SHORT_RATE = Decimal("0.000001")
"""Rates for a month or a day are told to a ten-thousandth of a per cent."""

Values = dict[str, Any]
"""Name of a figure or argument -> Decimal, int, day or word."""


EXAMPLE_CNY = Decimal(10000)
"""An amount to work out with what is the same for any."""


class Asks(Exception):
    """Something is missing or not clear; the borrower is asked one thing."""

    def __init__(self, section: str, code: str, **values: str) -> None:
        super().__init__(code)
        self.section = section
        self.code = code
        self.values = values


class CannotTell(Exception):
    """What a calculation needs is not known; `code` is a note that says so."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Case:
    """What a tool works with."""

    asked: Asked
    known: Known
    terms: Terms | None
    clauses: Sequence[Clause]
    lender: Lender
    product: str
    """Key of the one product that the message names, or empty."""
    signed: tuple[date, date] | None
    """First and last day on which the contract was signed, where the message says so."""
    today: date
    on: date
    """The day as of which rules hold."""
    locale: Locale

    def given(self, name: str) -> Any:
        return self.asked.arguments.get(name)

    def need(self, *names: str) -> list[Any]:
        """Arguments that have to be there. Raises Asks for the first that is missing."""
        for name in names:
            if self.given(name) is None:
                raise Asks("ask", name)
        return [self.given(name) for name in names]

    def word(self, code: str, **values: str) -> str:
        return calculated("word", code, self.locale, **values)

    def state(self, code: str) -> str:
        """What a state or kind of a record is called; nothing for one that is not known here, since
        what a source writes is never shown as it stands."""
        return self.word(code) if code in calculations()["word"] else ""

    def product_name(self, key: str) -> str:
        names = self.lender.products.get(key)
        return names[0] if names else self.word("some_loan")

    def loan_name(self, loan: Loan) -> str:
        product = self.product_name(loan.product)
        return self.word(
            "dated_loan",
            product=product,
            signed=loan.contract_date.isoformat(),
            annual_rate=show("annual_rate", loan.annual_rate, self.locale),
        )

    def term(self, name: str, loan: Loan, *, then: bool = False) -> Stated:
        """What the loan's contract says. Raises CannotTell."""
        day = loan.contract_date
        return self.term_of(name, loan.product, (day, day), then=then)

    def term_of(
        self, name: str, product: str, signed: tuple[date, date], *, then: bool = False
    ) -> Stated:
        """What contracts say that were signed between two days. Raises CannotTell."""
        first, last = (
            stated(
                self.terms, self.clauses, name, product=product, signed=day, on=self.on, then=then
            )
            for day in signed
        )
        if first is None or first != last:
            raise CannotTell("term_unknown")
        return first

    def general_term(self, name: str, *, then: bool = False) -> Stated:
        """What contracts of the product named say, signed when the message says. Raises Asks where
        that depends on the day."""
        assert self.signed is not None
        try:
            return self.term_of(name, self.product, self.signed, then=then)
        except CannotTell:
            raise Asks("ask", "contract_date") from None

    @property
    def today_only(self) -> tuple[date, date]:
        return self.today, self.today


@dataclass(slots=True)
class Worked:
    """One result: its figures, what is said of them, and what they rest on."""

    inputs: Values = field(default_factory=dict)
    figures: Values = field(default_factory=dict)
    said: list[tuple[str, Values]] = field(default_factory=list)
    """Codes of sentences and what they are filled with."""
    headline: tuple[str, ...] = ()
    """Names of the figures that are shown large."""
    rows: Sequence[Mapping[str, Any]] = ()
    columns: tuple[str, ...] = ()
    chart: bool = False
    """Whether the rows are instalments, which are drawn."""
    basis: Mapping[str, Any] = field(default_factory=dict)
    """Formula, conventions and sources in words."""
    stated: list[Stated] = field(default_factory=list)
    name: str = ""
    """Which loan it is about."""
    beneath: bool = False
    """Whether what the documents say about it is quoted beneath."""
    asks: str = ""
    """A code of `said` that asks back, so that the question is not answered yet."""
    person: bool = False

    def say(self, code: str, **values: Any) -> None:
        self.said.append((code, values))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a call."""

    tool: str
    drafts: tuple[Draft, ...] = ()
    calculations: tuple[Calculation, ...] = ()
    status: Status = "answered"
    settled: bool = True
    """Whether nothing more has to be looked up."""
    beneath: bool = False
    """Whether the closest clause is quoted beneath, without a model."""
    person: bool = False
    """Whether a person is offered."""
    asks: str = ""
    """The argument that is asked for."""


Run = Callable[[Case], Awaitable[list[Worked]]]


def note(code: str, locale: Locale, **values: str) -> Draft:
    """A remark in curated words that states nothing of its own."""
    text = calculated("note", code, locale, **values)
    return Draft(text, "notice", facts=(" ".join(values.values()),))


async def call(case: Case) -> Outcome:
    """Run the tool that was asked for; expected failures are told, never raised."""
    tool, locale = case.asked.tool, case.locale
    try:
        if case.asked.unclear:
            raise Asks("note", "unclear_figure", figure=case.asked.unclear[0])
        if case.asked.vague:
            raise Asks("note", "vague_figure", figure=case.asked.vague[0])
        results = await TOOLS[tool](case)
    except Asks as asks:
        text = calculated(asks.section, asks.code, locale, **asks.values)
        facts = (" ".join(asks.values.values()), *calculations()["fact"].get(asks.code, ()), text)
        # What is said in general helps who was asked for what their contract says.
        beneath = not case.asked.own
        draft = Draft(text, "notice", facts=facts)
        return Outcome(
            tool,
            (draft,),
            status="clarify",
            settled=not beneath,
            beneath=beneath,
            asks=asks.code if asks.section == "ask" else "",
        )
    except BadArgument as error:
        name = _label(error.field.rpartition(".")[2], locale)
        drafts = note("bad_argument", locale, name=name, problem=error.words(locale))
        return Outcome(tool, (drafts,), status="clarify")
    except CannotTell as unknown:
        return Outcome(tool, (note(unknown.code, locale),), settled=False, person=True)
    except CustomerFault as fault:
        broken = isinstance(fault, CustomerDataBroken)
        code = "record_incomplete" if broken else "record_unavailable"
        return Outcome(tool, (note(code, locale),), settled=False, person=True)
    return _outcome(case, results)


def _outcome(case: Case, results: Sequence[Worked]) -> Outcome:
    drafts: list[Draft] = []
    made: list[Calculation] = []
    quotes: dict[tuple[str, str], Draft] = {}
    for worked in results:
        calculation = _calculation(case, worked)
        if worked.figures or worked.rows:
            made.append(calculation)
        facts = facts_of(worked)
        for code, values in worked.said:
            shown = {name: show(name, value, case.locale) for name, value in values.items()}
            text = calculated("say", code, case.locale, **shown)
            drafts.append(Draft(text, "tool", facts=facts))
        for each in worked.stated:
            citation = Citation(each.clause, each.quote)
            quotes[each.clause.id, each.quote] = Draft(each.quote, "quote", (citation,))
    asks = any(worked.asks for worked in results)
    beneath = not asks and any(worked.beneath for worked in results)
    return Outcome(
        case.asked.tool,
        (*drafts, *quotes.values()),
        tuple(made),
        status="clarify" if asks else "answered",
        settled=not beneath,
        beneath=beneath,
        person=any(worked.person for worked in results),
    )


# Figures in words --------------------------------------------------------------------------------


def show(name: str, value: Any, locale: Locale) -> str:
    """A figure as a sentence or a cell has it, by what its name ends in."""
    if isinstance(value, date):
        return value.isoformat()
    if not isinstance(value, Decimal):
        return str(value)
    if name.endswith("_cny"):
        return str(calculations()["fact"]["_cny"][locale == "en"].format(f"{value:,.2f}"))
    if name == "discount" and locale != "en":
        return f"{_plain(value * 10)} {calculations()['fact']['discount_unit'][0]}"
    if name.endswith(("simple_annual_rate", "compound_annual_rate")):
        value = value.quantize(_SHOWN_RATE, ROUND_HALF_UP)
    return f"{_plain(value * 100)}%"


def facts_of(worked: Worked) -> tuple[str, ...]:
    """Every way in which a figure of a result may be written."""
    forms: Mapping[str, Sequence[str]] = calculations()["fact"]
    facts: dict[str, None] = {}
    values = [(n, v) for group in (worked.inputs, worked.figures) for n, v in group.items()]
    for name, value in values:
        if isinstance(value, dict):
            values += list(value.items())
            continue
        if not isinstance(value, Decimal | int | date):
            continue
        amount = name.endswith("_cny")
        written = [f"{value:,.2f}"] if amount else [show(name, value, each) for each in LOCALES]
        parts = name.split("_")
        ending = next((k for k in forms if name == k or name.endswith(k) or k in parts), "")
        for form in forms[ending] if ending else ("{}",):
            facts |= {form.format(each): None for each in written}
    # Names of loans and plans, which code put together from the record or the arguments.
    named = [v for _, said in worked.said for v in said.values() if isinstance(v, str)]
    for text in (worked.name, *named):
        facts[text] = None
    return tuple(facts)


def _plain(value: Decimal) -> str:
    text = f"{value.normalize():f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _label(name: str, locale: Locale) -> str:
    words = calculations()["word"].get(name)
    return words[locale] if words else loan_math.label(name, locale)


def _calculation(case: Case, worked: Worked) -> Calculation:
    locale = case.locale
    row: Values = {
        "title": case.word(f"{case.asked.tool}_title"),
        "about": worked.name,
        "headline": [
            {
                "name": name,
                "label": _label(name, locale),
                "value": show(name, worked.figures[name], locale),
            }
            for name in worked.headline
            if worked.figures.get(name) is not None
        ],
        **{name: _json(name, value) for name, value in worked.figures.items()},
        **worked.basis,
        "clauses": [
            {"clause_id": each.clause.id, "source": each.clause.source, "quote": each.quote}
            for each in worked.stated
        ],
    }
    if worked.rows:
        row["table"] = {
            "columns": [{"name": c, "label": _label(c, locale)} for c in worked.columns],
            "rows": [
                {c: _json(c, line.get(c)) for c in worked.columns if line.get(c) is not None}
                for line in worked.rows
            ],
            "chart": worked.chart,
        }
    return Calculation(case.asked.tool, {n: _json(n, v) for n, v in worked.inputs.items()}, row)


def _json(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {n: _json(n, v) for n, v in value.items()}
    if isinstance(value, Decimal):
        return f"{value:.2f}" if name.endswith("_cny") else _plain(value)
    return value.isoformat() if isinstance(value, date) else value


# The customer's own record -----------------------------------------------------------------------


async def _loans(case: Case) -> list[Loan]:
    """The customer's loans, of the product that the message names: what it asks of one product is
    never told of another."""
    loans = await case.known.loans()
    return [loan for loan in loans if not case.product or loan.product == case.product]


async def _open_loans(case: Case) -> list[Loan]:
    """Loans of which something is to be paid."""
    return [loan for loan in await _loans(case) if loan.unpaid()]


def _no_loans(case: Case) -> Worked:
    """That there is no loan, or none of the product that the message names."""
    worked = Worked()
    if case.product:
        worked.say("no_loans_of", product=case.product_name(case.product))
    else:
        worked.say("no_loans")
    return worked


async def _each_open(
    case: Case,
    about: Callable[[Case, Loan], Worked],
    among: Callable[[Loan], bool] = lambda loan: True,
) -> list[Worked]:
    """A result for each open loan among those, or that there is no open one."""
    open_loans = await _open_loans(case)
    loans = [loan for loan in open_loans if among(loan)]
    if not open_loans:
        every = await _loans(case)
        over = [loan for loan in every if loan.settled_on is not None]
        settled = max(over, key=lambda loan: loan.settled_on or date.min, default=None)
        if not every:
            return [_no_loans(case)]
        worked = Worked()
        if settled is None:
            worked.say("no_open_loans")
        else:
            worked.name = case.loan_name(settled)
            worked.figures = {"settled_on": settled.settled_on}
            worked.say("loan_settled", loan=worked.name, settled_on=settled.settled_on)
        return [worked]
    results = [about(case, loan) for loan in loans]
    for worked, loan in zip(results, loans, strict=True):
        if loan.state == "disputed":
            worked.say("in_dispute")
            worked.person = True
    return results


def _arrears(loan: Loan, today: date) -> list[Instalment]:
    """Instalments past their due day of which something is unpaid, the oldest first."""
    return [i for i in loan.unpaid() if i.due_on < today]


def _say_arrears(case: Case, worked: Worked, loan: Loan) -> None:
    late = _arrears(loan, case.today)
    if late:
        owed = sum((loan.due_cny(i) for i in late), ZERO)
        worked.figures |= {"count": len(late), "oldest_due": late[0].due_on, "arrears_cny": owed}
        worked.say(
            "arrears", loan=worked.name, count=len(late), due=late[0].due_on, arrears_cny=owed
        )


async def next_payment(case: Case) -> list[Worked]:
    """What is due next, on a day, in a month, or with an instalment that is named."""
    on: date | None = None if case.given("term") else case.given("on")
    results = await _each_open(
        case,
        lambda case, loan: _next_payment(case, loan, on),
        lambda loan: on is None or _due_on(loan, on),
    )
    if not results:
        nothing = Worked(figures={"on": on})
        nothing.say("nothing_due_on", **nothing.figures)
        results = [nothing, *await _each_open(case, _next_payment)]
    sums = [w.figures["left_cny"] for w in results if "left_cny" in w.figures]
    if len(sums) > 1:
        together = Worked(figures={"sum_cny": sum(sums, ZERO)})
        together.say("payments_together", sum_cny=sum(sums, ZERO))
        results.append(together)
    return results


def _due_on(loan: Loan, day: date) -> bool:
    return any(instalment.due_on == day for instalment in loan.schedule)


def _next_payment(case: Case, loan: Loan, on: date | None = None) -> Worked:
    worked = Worked(name=case.loan_name(loan))
    number, month = case.given("term"), case.given("month")
    if number == "last":
        number = loan.schedule[-1].number
    if number is not None:
        found = [i for i in loan.schedule if i.number == number]
        if not found:
            worked.figures = {"terms": len(loan.schedule), "term": number}
            worked.say("no_such_term", loan=worked.name, terms=len(loan.schedule), term=number)
            return worked
    elif on is not None:
        found = [i for i in loan.schedule if i.due_on == on]
    elif month is not None:
        found = [i for i in loan.schedule if _same_month(i.due_on, month)]
        if not found:
            worked.figures = {"month": f"{month:%Y-%m}"}
            worked.say("nothing_due", loan=worked.name, **worked.figures)
            _say_arrears(case, worked, loan)
            return worked
    else:
        found = [i for i in loan.unpaid() if i.due_on >= case.today][:1]
    if not found:
        _say_arrears(case, worked, loan)
        return worked
    (due,) = found[:1]
    left = loan.due_cny(due)
    asked = {"term": number, "on": on, "month": month and f"{month:%Y-%m}"}
    worked.inputs = {name: value for name, value in asked.items() if value is not None}
    worked.figures = {
        "term": due.number,
        "due": due.due_on,
        "total_cny": due.amount_cny,
        "left_cny": left,
        "principal_cny": due.principal_cny,
        "interest_cny": due.interest_cny,
        "paid_cny": due.amount_cny - left,
    }
    worked.headline = ("left_cny", "due")
    values = {"loan": worked.name, **worked.figures}
    if not left:
        worked.say("term_paid", **values)
    else:
        worked.say("next_payment" if left == due.amount_cny else "next_payment_partly", **values)
    if number is None:
        _say_arrears(case, worked, loan)
    return worked


def _same_month(day: date, other: date) -> bool:
    return (day.year, day.month) == (other.year, other.month)


async def my_loans(case: Case) -> list[Worked]:
    """Each loan that is open, and what is left of it."""

    def about(case: Case, loan: Loan) -> Worked:
        unpaid = loan.unpaid()
        worked = Worked(name=case.loan_name(loan))
        worked.figures = {
            "principal_cny": loan.principal_cny,
            "annual_rate": loan.annual_rate,
            "terms": len(loan.schedule),
            "left_terms": len(unpaid),
            "outstanding_cny": loan.outstanding_cny,
        }
        worked.headline = ("outstanding_cny", "left_terms")
        worked.say("loan", loan=worked.name, **worked.figures)
        _say_arrears(case, worked, loan)
        return worked

    return await _each_open(case, about)


async def my_schedule(case: Case) -> list[Worked]:
    """Every instalment of which something is still to be paid."""

    def about(case: Case, loan: Loan) -> Worked:
        unpaid = loan.unpaid()
        worked = Worked(name=case.loan_name(loan))
        coming = [i for i in unpaid if i.due_on >= case.today] or list(unpaid)
        worked.figures = {
            "left_terms": len(unpaid),
            "left_cny": sum((loan.due_cny(i) for i in unpaid), ZERO),
            "interest_cny": sum((i.interest_cny for i in unpaid), ZERO),
            "due": coming[0].due_on,
            "next_cny": loan.due_cny(coming[0]),
            "last_due": unpaid[-1].due_on,
        }
        worked.headline = ("left_cny", "left_terms", "last_due")
        worked.rows = [_row(i.number, i.due_on, i.principal_cny, i.interest_cny) for i in unpaid]
        worked.columns = ("term", "due", "principal_cny", "interest_cny", "total_cny")
        worked.chart = True
        worked.say("schedule_left", loan=worked.name, **worked.figures)
        _say_arrears(case, worked, loan)
        return worked

    return await _each_open(case, about)


def _row(term: int, due: date | None, principal: Decimal, interest: Decimal) -> Values:
    return {
        "term": term,
        "due": due,
        "principal_cny": principal,
        "interest_cny": interest,
        "total_cny": principal + interest,
    }


def _day(case: Case) -> date:
    """The day that is asked about: today where none is named. Raises Asks."""
    if "on" in case.asked.arguments and case.given("on") is None:
        raise Asks("ask", "on")
    on: date = case.given("on") or case.today
    if on < case.today:
        raise Asks("note", "day_past")
    return on


@dataclass(frozen=True, slots=True)
class _Owed:
    """What of a loan is past its due day, and the penalty interest on it."""

    instalments: int
    arrears: Decimal
    principal: Decimal
    penalty: Decimal
    days: int
    """Since the oldest was due."""
    rate: Decimal
    stated: tuple[Stated, ...]
    within: bool
    """Whether all of it is within the days of grace."""
    grace_end: date | None
    term: int


def owed_cny(
    loan: Loan, terms: Terms | None, clauses: Sequence[Clause], today: date
) -> Decimal | None:
    """What has to be paid today for a loan to be overdue no more, with its penalty interest, as a
    borrower who asks is told; None where its contract does not tell what that is."""

    def term(name: str, loan: Loan) -> Stated:
        day = loan.contract_date
        found = stated(terms, clauses, name, product=loan.product, signed=day, on=today)
        if found is None:
            raise CannotTell("term_unknown")
        return found

    try:
        owed = _owed(term, loan, today, today)
    except CannotTell:
        return None
    return owed.arrears + owed.penalty if owed else ZERO


def _owed(term: Callable[[str, Loan], Stated], loan: Loan, today: date, on: date) -> _Owed | None:
    """None where nothing is past its due day today. Raises CannotTell.

    term: what the loan's contract says, as Case.term gives it.
    """
    late = _arrears(loan, today)
    if not late:
        return None
    names = ("grace_days", "grace_charged", "uplift")
    grace, charged, uplift = (term(name, loan) for name in names)
    arrears = principal = penalty = ZERO
    within = True
    rate = ZERO
    for instalment in late:
        paid = [r for r in loan.repayments if r.instalment == instalment.number]
        overdue = _left(loan, instalment, "principal_cny")
        arrears += loan.due_cny(instalment)
        principal += overdue
        if overdue <= 0:
            continue
        result = loan_math.overdue_penalty(
            loan_math.Overdue(
                overdue_principal_cny=overdue,
                uplift=_fraction(uplift.term.value),
                annual_rate=loan.annual_rate,
                due=instalment.due_on,
                paid=on,
                grace_days=int(grace.term.value),
                grace_charged=charged.term.value == "yes",
                cap_annual_rate=_fraction(uplift.term.cap) if uplift.term.cap else None,
            )
        )
        penalty += result.penalty_cny - sum((r.penalty_cny for r in paid), ZERO)
        rate = result.penalty_annual_rate
        within = within and result.within_grace
    oldest = late[0]
    return _Owed(
        instalments=len(late),
        arrears=arrears,
        principal=principal,
        penalty=max(penalty, ZERO),
        days=(on - oldest.due_on).days,
        rate=rate,
        stated=(grace, charged, uplift),
        within=within,
        grace_end=oldest.due_on + timedelta(days=int(grace.term.value)),
        term=oldest.number,
    )


def _fraction(written: str) -> Decimal:
    return Decimal(written[:-1]) / 100 if written.endswith("%") else Decimal(written)


async def overdue_cost(case: Case) -> list[Worked]:
    """What is past its due day, with the penalty interest up to a day."""
    on = _day(case)
    results = await _each_open(case, lambda case, loan: _overdue(case, loan, on))
    late = [worked for worked in results if "penalty_cny" in worked.figures]
    return late or results


def _overdue(case: Case, loan: Loan, on: date) -> Worked:
    owed = _owed(case.term, loan, case.today, on)
    worked = Worked(inputs={"on": on}, name=case.loan_name(loan))
    if owed is None:
        worked.figures = {"due": loan.unpaid()[0].due_on}
        worked.say("not_overdue", loan=worked.name, **worked.figures)
        return worked
    worked.figures = {
        "days_overdue": owed.days,
        "count": owed.instalments,
        "arrears_cny": owed.arrears,
        "overdue_principal_cny": owed.principal,
        "penalty_annual_rate": owed.rate,
        "penalty_cny": owed.penalty,
        "total_cny": owed.arrears + owed.penalty,
        "grace_end": owed.grace_end,
        "term": owed.term,
    }
    worked.headline = ("total_cny", "penalty_cny", "days_overdue")
    worked.basis = _words(("overdue",), ("half_up", "no_compounding"), case.locale)
    worked.stated = list(owed.stated)
    if owed.within:
        worked.say("within_grace", loan=worked.name, **worked.figures)
    else:
        worked.say("overdue", loan=worked.name, on=on, **worked.figures)
        worked.say("overdue_rate", **worked.figures)
    return worked


def _words(formulas: Sequence[str], conventions: Sequence[str], locale: Locale) -> Values:
    """Formulas and conventions of a calculation in words, as those of loan_math are."""
    return loan_math.in_words(loan_math.Basis(tuple(formulas), tuple(conventions), ()), locale)


async def settle(case: Case) -> list[Worked]:
    """What it takes to settle each open loan on a day."""
    on = _day(case)
    return await _each_open(case, lambda case, loan: _settle(case, loan, on))


def _settle(case: Case, loan: Loan, on: date) -> Worked:
    worked = Worked(inputs={"on": on}, name=case.loan_name(loan))
    owed = _owed(case.term, loan, case.today, on)
    due_today = [i for i in loan.unpaid() if i.due_on == case.today == on]
    by_then = [i for i in loan.unpaid() if case.today <= i.due_on <= on and i not in due_today]
    apart = [*_arrears(loan, case.today), *due_today, *by_then]
    owing = sum((loan.due_cny(i) for i in due_today), ZERO) + (owed.arrears if owed else ZERO)
    balance = loan.outstanding_cny - sum((_left(loan, i, "principal_cny") for i in apart), ZERO)
    if balance <= 0 and owed and loan.schedule[-1].due_on < case.today:
        # Every instalment is past its due day: what settles it is paying them.
        return _overdue(case, loan, on)
    if balance <= 0:
        left = sum((loan.due_cny(i) for i in loan.unpaid()), ZERO)
        worked.figures = {"last_due": loan.schedule[-1].due_on, "left_cny": left}
        worked.say("settle_no_need", loan=worked.name, **worked.figures)
        return worked
    # An instalment paid before its day has its interest paid up to that day.
    reached = [i.due_on for i in loan.schedule if i.due_on <= on or loan.due_cny(i) <= 0]
    since = min(on, max([loan.disbursed_on, *reached]))
    passed = sum(1 for i in loan.schedule if i.due_on <= on)
    fee, count = case.term("settle_fee_rate", loan), case.term("settle_days", loan)
    rate = _fraction(fee.term.value)
    if fee.term.first_terms and passed >= fee.term.first_terms:
        fee, rate = case.term("settle_fee_rate", loan, then=True), ZERO
    result = loan_math.settle(
        loan_math.Settling(
            balance_cny=balance,
            annual_rate=loan.annual_rate,
            days=(on - since).days,
            accrual=_accrual(count.term.value),
            penalty_rate=rate,
            overdue_penalty_cny=owed.penalty if owed else ZERO,
        )
    )
    rest = [i for i in loan.unpaid() if i.due_on > on]
    saved = sum((_left(loan, i, "interest_cny") for i in rest), ZERO)
    saved -= result.interest_cny + result.penalty_cny
    worked.inputs |= {"annual_rate": loan.annual_rate, "settle_fee_rate": rate}
    worked.figures = {
        "total_cny": result.total_cny + owing,
        "balance_cny": balance,
        "interest_cny": result.interest_cny,
        "days": result.days,
        "since": since,
        "penalty_cny": result.penalty_cny,
        "arrears_cny": owing,
        "overdue_penalty_cny": result.overdue_penalty_cny,
        "saved_cny": saved,
        "paid_terms": len(by_then),
    }
    worked.headline = ("total_cny", "saved_cny") if saved > 0 else ("total_cny",)
    worked.basis = loan_math.in_words(result.basis, case.locale)
    values = {"loan": worked.name, "on": on, **worked.figures}
    worked.say("settle", **values)
    if owed:
        worked.say("settle_arrears", **worked.figures)
        worked.stated.append(case.term("overdue_first", loan))
    elif owing:
        worked.say("settle_due_today", **worked.figures)
    if by_then:
        worked.say("paid_by_then", **worked.figures)
    if saved > 0:
        worked.say("settle_saved", **worked.figures)
    worked.stated = [fee, count, *worked.stated]
    return worked


def _accrual(written: str) -> Any:
    if written not in ("actual/365", "actual/360"):
        raise CannotTell("term_unknown")
    return written


def _left(
    loan: Loan, instalment: Instalment, part: Literal["principal_cny", "interest_cny"]
) -> Decimal:
    """What of a part of an instalment is still to be paid."""
    paid = (getattr(r, part) for r in loan.repayments if r.instalment == instalment.number)
    left: Decimal = getattr(instalment, part) - sum(paid, ZERO)
    return left


async def prepay(case: Case) -> list[Worked]:
    """What a partial prepayment costs on the day, and what becomes of the instalments."""
    loans = await _open_loans(case)
    if len(loans) > 1:
        choices = [
            case.word(
                "loan_choice",
                loan=case.loan_name(loan),
                outstanding_cny=show("outstanding_cny", loan.outstanding_cny, case.locale),
            )
            for loan in loans
        ]
        raise Asks("note", "which_loan", loans=" / ".join(choices))
    if not loans:
        return await _each_open(case, _next_payment)
    (loan,) = loans
    worked = Worked(name=case.loan_name(loan))
    least = case.term("least_prepaid", loan)
    worked.stated = [least]
    if least.term.value == "none":
        worked.say("prepay_not", loan=worked.name)
        return [worked]
    (amount,) = case.need("prepaid_cny")
    on = _day(case)
    loan_math.check("prepaid_cny", amount)
    if _arrears(loan, case.today):
        worked.say("prepay_overdue", loan=worked.name)
        return [worked]
    passed = sum(1 for i in loan.schedule if i.due_on <= on)
    if passed < least.term.after_terms:
        worked.figures = {"after_terms": least.term.after_terms}
        worked.say("prepay_too_early", loan=worked.name, **worked.figures)
        return [worked]
    if amount < Decimal(least.term.value):
        worked.figures = {"least_cny": Decimal(least.term.value)}
        worked.say("prepay_too_little", loan=worked.name, **worked.figures)
        return [worked]
    if amount >= loan.outstanding_cny:
        worked.figures = {"prepaid_cny": amount, "balance_cny": loan.outstanding_cny}
        worked.say("prepay_all", loan=worked.name, **worked.figures)
        worked.asks = "prepay_all"
        return [worked]
    return [_prepay(case, worked, loan, amount, on, passed)]


def _prepay(
    case: Case, worked: Worked, loan: Loan, amount: Decimal, on: date, passed: int
) -> Worked:
    agreed = loan_math.Loan(
        principal_cny=loan.principal_cny,
        method=loan.method,
        annual_rate=loan.annual_rate,
        terms=len(loan.schedule),
        day_count=loan.day_count,
        start=loan.disbursed_on,
    )
    as_agreed = [
        (row.term, row.due, row.principal_cny, row.interest_cny)
        for row in loan_math.schedule(agreed).instalments
    ]
    held = [(i.number, i.due_on, i.principal_cny, i.interest_cny) for i in loan.schedule]
    if held != as_agreed or any(r.kind != "instalment" for r in loan.repayments):
        # It was changed on the way: how is not known.
        raise CannotTell("not_from_schedule")
    fee = case.term("settle_fee_rate", loan)
    if loan.method != "interest_only":
        worked.stated.append(case.term("prepay_mode", loan))
    result = loan_math.prepay(
        loan_math.Prepaying(
            loan=agreed,
            prepaid_cny=amount,
            mode="lower_instalment",
            on=on,
            penalty_rate=_fraction(fee.term.value),
        )
    )
    by_then = [i for i in loan.unpaid() if i.due_on <= on]
    worked.inputs = {"prepaid_cny": amount, "on": on, "annual_rate": loan.annual_rate}
    worked.figures = {
        "total_cny": result.total_cny,
        "interest_cny": result.interest_cny,
        "penalty_cny": result.penalty_cny,
        "left_terms": result.terms_after - result.paid_terms,
        "next_before_cny": result.next_instalment_before_cny,
        "next_cny": result.next_instalment_cny,
        "saved_cny": result.saved_cny,
        "paid_terms": len(by_then),
    }
    worked.headline = ("total_cny", "next_cny", "saved_cny")
    worked.basis = loan_math.in_words(result.basis, case.locale)
    worked.rows = [_row(r.term, r.due, r.principal_cny, r.interest_cny) for r in result.instalments]
    worked.columns = ("term", "due", "principal_cny", "interest_cny", "total_cny")
    worked.chart = True
    worked.say("prepay", loan=worked.name, on=on, prepaid_cny=amount, **worked.figures)
    worked.say("prepay_after", **worked.figures)
    if by_then:
        worked.say("paid_by_then", **worked.figures)
    worked.stated.append(fee)
    return worked


async def my_coupons(case: Case) -> list[Worked]:
    """The coupons that can be used today; what a voucher takes off the next instalment."""
    kind = case.given("kind")
    every = [
        coupon
        for coupon in await case.known.coupons()
        if kind in (None, coupon.kind) and case.product in ("", coupon.product)
    ]
    usable = [c for c in every if c.state == "unused" and c.valid_from <= case.today <= c.valid_to]
    if not usable:
        # One that is asked for is told of though it cannot be used any more.
        return [_no_coupon(case, kind), *(_coupon_gone(case, c) for c in every if kind)]
    loans = [loan for loan in await case.known.loans() if loan.state != "settled"]
    return [_COUPONS[coupon.kind](case, coupon, loans) for coupon in usable]


def _no_coupon(case: Case, kind: str | None) -> Worked:
    worked = Worked()
    if kind is None:
        worked.say("no_coupons")
    else:
        worked.say("no_coupons_of", kind=case.word(kind))
    return worked


def _coupon_gone(case: Case, coupon: Coupon) -> Worked:
    worked = Worked(name=case.product_name(coupon.product))
    worked.figures = {"valid_from": coupon.valid_from, "valid_to": coupon.valid_to}
    expired = coupon.state != "used" and coupon.valid_to < case.today
    state = "expired" if expired else coupon.state
    if state == "unused":
        worked.say(
            "coupon_not_yet", kind=case.word(coupon.kind), product=worked.name, **worked.figures
        )
    else:
        told = {"kind": case.word(coupon.kind), "product": worked.name, "state": case.state(state)}
        worked.say("coupon_gone", **told, **worked.figures)
    return worked


def _coupon_voucher(case: Case, coupon: Coupon, loans: Sequence[Loan]) -> Worked:
    worked = Worked(name=case.product_name(coupon.product))
    amount = coupon.amount_cny or ZERO
    worked.figures = {"amount_cny": amount, "valid_to": coupon.valid_to}
    values = {"product": worked.name, **worked.figures}
    if coupon.threshold_cny is None:
        worked.say("coupon_voucher_any", **values)
    else:
        worked.figures["threshold_cny"] = coupon.threshold_cny
        worked.say("coupon_voucher", threshold_cny=coupon.threshold_cny, **values)
    worked.stated.append(case.term_of("voucher", coupon.product, case.today_only))
    own = [loan for loan in loans if loan.product == coupon.product and loan.unpaid()]
    worked.figures["loans"] = [case.loan_name(loan) for loan in own]
    if not own:
        worked.say("coupon_voucher_no_loan")
    for loan in own:
        name = case.loan_name(loan)
        if _arrears(loan, case.today):
            worked.say("coupon_voucher_overdue", loan=name)
            worked.stated.append(case.term("coupon_overdue", loan))
            continue
        worked.stated.append(case.term("coupon_kinds", loan))
        instalment = loan.unpaid()[0]
        due = loan.due_cny(instalment)
        if coupon.threshold_cny is not None and due < coupon.threshold_cny:
            worked.figures |= {"term": instalment.number, "total_cny": due}
            worked.say("coupon_voucher_small", loan=name, term=instalment.number, total_cny=due)
            continue
        saved = min(amount, _left(loan, instalment, "interest_cny"))
        worked.figures |= {"term": instalment.number, "saved_cny": saved}
        worked.headline = ("saved_cny", "valid_to")
        worked.say("coupon_voucher_saves", loan=name, term=instalment.number, saved_cny=saved)
    return worked


def _coupon_rate(case: Case, coupon: Coupon, loans: Sequence[Loan]) -> Worked:
    worked = Worked(name=case.product_name(coupon.product))
    worked.figures = {"discount": coupon.discount, "valid_to": coupon.valid_to}
    worked.stated.append(case.term_of("rate_coupon", coupon.product, case.today_only))
    worked.say("coupon_rate", product=worked.name, **worked.figures)
    return worked


def _coupon_interest_free(case: Case, coupon: Coupon, loans: Sequence[Loan]) -> Worked:
    worked = Worked(name=case.product_name(coupon.product))
    worked.figures = {"free_days": coupon.free_days, "valid_to": coupon.valid_to}
    worked.stated.append(case.term_of("interest_free_coupon", coupon.product, case.today_only))
    if coupon.principal_cap_cny is None:
        worked.say("coupon_interest_free_any", product=worked.name, **worked.figures)
    else:
        worked.figures["principal_cap_cny"] = coupon.principal_cap_cny
        worked.say("coupon_interest_free", product=worked.name, **worked.figures)
    return worked


_COUPONS: Mapping[str, Callable[[Case, Coupon, Sequence[Loan]], Worked]] = {
    "voucher": _coupon_voucher,
    "rate": _coupon_rate,
    "interest_free": _coupon_interest_free,
}


MOST_APPLICATIONS = 3


async def my_applications(case: Case) -> list[Worked]:
    """Where the newest applications stand."""
    applications = (await case.known.applications())[:MOST_APPLICATIONS]
    if not applications:
        worked = Worked()
        worked.say("no_applications")
        return [worked]
    return [_application(case, application) for application in applications]


def _application(case: Case, application: Application) -> Worked:
    worked = Worked(name=case.product_name(application.product))
    worked.figures = {
        "applied_on": application.applied_on,
        "amount_cny": application.amount_cny,
        "months": application.months,
    }
    state = case.state(application.state)
    worked.say("application", product=worked.name, state=state, **worked.figures)
    return worked


async def my_statement(case: Case) -> list[Worked]:
    """What was repaid of each loan that is open, or of all where none is."""
    loans = await _loans(case)
    if not loans:
        return [_no_loans(case)]
    chosen = [loan for loan in loans if loan.state != "settled"] or loans
    return [_statement(case, loan) for loan in chosen]


def _statement(case: Case, loan: Loan) -> Worked:
    worked = Worked(name=case.loan_name(loan))
    month: date | None = case.given("month")
    paid = [r for r in loan.repayments if month is None or _same_month(r.paid_on, month)]
    if not paid and month is not None:
        worked.figures = {"month": f"{month:%Y-%m}"}
        worked.say("no_repayments_in", loan=worked.name, **worked.figures)
        return worked
    if not paid:
        worked.say("no_repayments", loan=worked.name)
        return worked
    last = max(paid, key=lambda repayment: repayment.paid_on)
    worked.figures = {
        "count": len(paid),
        "paid_cny": sum((r.amount_cny for r in paid), ZERO),
        "principal_cny": sum((r.principal_cny for r in paid), ZERO),
        "interest_cny": sum((r.interest_cny for r in paid), ZERO),
        "penalty_cny": sum((r.penalty_cny for r in paid), ZERO),
        "last_paid_on": last.paid_on,
        "last_cny": last.amount_cny,
    }
    worked.headline = ("paid_cny",)
    worked.rows = [
        {
            "paid_on": r.paid_on,
            "kind": case.state(r.kind),
            "term": r.instalment,
            "principal_cny": r.principal_cny,
            "interest_cny": r.interest_cny,
            "penalty_cny": r.penalty_cny,
            "total_cny": r.amount_cny,
        }
        for r in paid
    ]
    worked.columns = (
        "paid_on",
        "kind",
        "term",
        "principal_cny",
        "interest_cny",
        "penalty_cny",
        "total_cny",
    )
    if month is None:
        worked.say("statement", loan=worked.name, **worked.figures)
    else:
        worked.inputs = {"month": f"{month:%Y-%m}"}
        worked.say("statement_of", loan=worked.name, **worked.inputs, **worked.figures)
    return worked


# With given figures ------------------------------------------------------------------------------


def _lent(given: Mapping[str, Any]) -> dict[str, Any]:
    """A plan's arguments as `calculate` takes them. Raises Asks for the first that is missing."""
    fee = given.get("term_fee_rate")
    for name in ("principal_cny", *(() if fee is not None else ("annual_rate",)), "terms"):
        if given.get(name) is None:
            raise Asks("ask", name)
    made = {name: given[name] for name in ("principal_cny", "terms")}
    if fee is not None:
        return {**made, "method": "instalment_fee", "term_fee_rate": fee}
    return {
        **made,
        "method": given.get("method", "equal_instalment"),
        "annual_rate": given["annual_rate"],
    }


def _discounted(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments with the rate that a discount on it leaves, and `full_rate` before it."""
    full, discount = given.get("annual_rate"), given.get("rate_discount")
    if full is None or discount is None:
        return given
    return {**given, "annual_rate": full * discount, "full_rate": full}


def _say_rate(worked: Worked, given: Mapping[str, Any]) -> None:
    """Says what a monthly or daily rate is a year, and what a discount leaves of it."""
    said, annual = given.get("rate_said"), given.get("full_rate", given.get("annual_rate"))
    per = {"month": ("monthly_rate", 12), "day": ("daily_rate", 365)}
    if said in per and annual is not None:
        name, times = per[said]
        worked.inputs[name] = (annual / times).quantize(Decimal("0.000000000001"))
        worked.say(f"rate_from_{said}", annual_rate=annual, **{name: worked.inputs[name]})
    if "full_rate" in given:
        worked.inputs |= {"full_rate": annual, "discount": given["rate_discount"]}
        shown = {name: worked.inputs[name] for name in ("full_rate", "discount")}
        worked.say("rate_discounted", annual_rate=given["annual_rate"], **shown)


def _schedule_rows(worked: Worked, rows: Sequence[loan_math.Instalment], *, fee: bool) -> None:
    worked.rows = [
        _row(r.term, r.due, r.principal_cny, r.interest_cny)
        | {"fee_cny": r.fee_cny, "total_cny": r.total_cny, "balance_cny": r.balance_cny}
        for r in rows
    ]
    middle = ("interest_cny", "fee_cny") if fee else ("interest_cny",)
    worked.columns = ("term", "principal_cny", *middle, "total_cny", "balance_cny")
    worked.chart = len(rows) > 1


_GIVEN_SAYS = {
    "equal_instalment": "given_level",
    "equal_principal": "given_falling",
    "interest_only": "given_interest_only",
    "instalment_fee": "given_fee",
}


async def instalment(case: Case) -> list[Worked]:
    """Instalments and cost of a plan whose figures are given, for each of the terms asked about."""
    given = _discounted(case.asked.arguments)
    terms = (given.get("terms"), *given.get("more_terms", ()))
    plans = [await _instalments(case, {**given, "terms": each}) for each in terms]
    if len(plans) > 1:
        for plan, each in zip(plans, terms, strict=True):
            plan.name = case.word("so_many_terms", terms=str(each))
    if given.get("method") is None and given.get("term_fee_rate") is None:
        plans[-1].say("assumed_method", method=case.word("equal_instalment"))
    plans[-1].say("estimate")
    return plans


async def _instalments(case: Case, given: Mapping[str, Any]) -> Worked:
    lent = _lent(given)
    result = await _calculated("schedule", lent)
    rows = result.instalments
    worked = Worked(inputs={**lent})
    worked.inputs.pop("method")
    worked.figures = {
        "instalment_cny": rows[0].total_cny,
        "last_cny": rows[-1].total_cny,
        "interest_cny": result.interest_cny,
        "fees_cny": result.fees_cny,
        "repaid_cny": result.repaid_cny,
        "simple_annual_rate": result.annual.simple_annual_rate if result.annual else None,
    }
    is_fee = lent["method"] == "instalment_fee"
    cost = "fees_cny" if is_fee else "interest_cny"
    worked.headline = ("instalment_cny", cost, "repaid_cny")
    worked.basis = loan_math.in_words(result.basis, case.locale)
    _schedule_rows(worked, rows, fee=is_fee)
    _say_rate(worked, given)
    method = case.word(lent["method"])
    worked.say(_GIVEN_SAYS[lent["method"]], method=method, **worked.inputs, **worked.figures)
    worked.beneath = True
    worked.inputs["method"] = lent["method"]
    return worked


async def _calculated(tool: str, arguments: Mapping[str, object]) -> Any:
    return await asyncio.to_thread(loan_math.calculate, tool, arguments)


async def days_interest(case: Case) -> list[Worked]:
    """Interest by the day on a given amount."""
    principal, _, days = case.need("principal_cny", "annual_rate", "days")
    given = _discounted(case.asked.arguments)
    annual = given["annual_rate"]
    # As a balance and its days: a loan of so many days has no due day to be asked about.
    result = await _calculated(
        "settle", {"balance_cny": principal, "annual_rate": annual, "days": days}
    )
    worked = Worked(inputs={"principal_cny": principal, "annual_rate": annual, "days": days})
    worked.figures = {"interest_cny": result.interest_cny, "repaid_cny": result.total_cny}
    worked.headline = ("interest_cny", "repaid_cny")
    worked.basis = _words(("daily",), ("half_up", "day_count_actual/365"), case.locale)
    _say_rate(worked, given)
    worked.say(
        "given_days",
        **{k: worked.inputs[k] for k in ("principal_cny", "annual_rate", "days")},
        **worked.figures,
    )
    worked.say("estimate")
    worked.beneath = True
    return [worked]


async def annual_rate(case: Case) -> list[Worked]:
    """What given payments, or an instalment fee, come to a year."""
    given = dict(case.asked.arguments)
    principal, upfront = given.get("principal_cny"), given.get("upfront_fee_cny")
    received, fee = given.get("received_cny"), given.get("term_fee_rate")
    borrowed = principal if principal is not None else received
    example = fee is not None and borrowed is None
    if fee is not None and given.get("instalment_cny") is None:
        # What a fee of each instalment comes to a year is the same for any amount.
        borrowed = EXAMPLE_CNY if borrowed is None else borrowed
        lent = _lent({**given, "principal_cny": borrowed})
        result = await _calculated("rate", {"loan": lent})
        inputs: Values = {n: v for n, v in lent.items() if n != "method"}
    else:
        if received is None and principal is not None:
            received = principal - (upfront or ZERO)
        elif received is not None and upfront is not None and principal is None:
            # What was named first is what was borrowed, of which the fee was kept back.
            received -= upfront
        for name, value in (("received_cny", received), *((n, given.get(n)) for n in _PAID)):
            if value is None:
                raise Asks("ask", name)
        inputs = {"received_cny": received, **{name: given[name] for name in _PAID}}
        result = await _calculated("rate", inputs)
    if result.annual is None:
        raise CannotTell("term_unknown")
    if result.cost_cny < 0:
        # Less is paid back than was received: one of the figures is something else.
        raise Asks("ask", "instalment_cny")
    worked = Worked(inputs=inputs)
    worked.figures = {
        "received_cny": result.received_cny,
        "repaid_cny": result.repaid_cny,
        "cost_cny": result.cost_cny,
        "simple_annual_rate": result.annual.simple_annual_rate,
        "compound_annual_rate": result.annual.compound_annual_rate,
    }
    worked.headline = ("simple_annual_rate", "compound_annual_rate", "cost_cny")
    worked.basis = loan_math.in_words(result.basis, case.locale)
    if example:
        worked.say("example", principal_cny=EXAMPLE_CNY)
    worked.say("given_rate", **worked.figures)
    worked.say("estimate")
    worked.beneath = True
    return [worked]


_PAID = ("instalment_cny", "terms")


async def convert_rate(case: Case) -> list[Worked]:
    """A rate for a year, a month or a day, as it is for the others."""
    (annual,) = case.need("annual_rate")
    loan_math.check("annual_rate", annual)
    worked = Worked(inputs={"annual_rate": annual})
    worked.figures = {
        "annual_rate": annual,
        "monthly_rate": (annual / 12).quantize(_SHOWN_SHORT_RATE, ROUND_HALF_UP),
        "daily_rate": (annual / 365).quantize(_SHOWN_SHORT_RATE, ROUND_HALF_UP),
    }
    worked.headline = ("annual_rate", "monthly_rate", "daily_rate")
    worked.say("rates", **worked.figures)
    worked.say("rates_by")
    worked.beneath = True
    return [worked]


async def settle_given(case: Case) -> list[Worked]:
    """What it takes to settle a given principal."""
    balance, annual, days = case.need("balance_cny", "annual_rate", "days")
    given = {"balance_cny": balance, "annual_rate": annual, "days": days}
    rate = case.given("penalty_rate")
    worked = Worked(inputs={**given})
    if rate is None and case.product and case.signed:
        fee = case.general_term("settle_fee_rate")
        rate = _fraction(fee.term.value)
        if fee.term.first_terms:
            (term,) = case.need("term")
            if term > fee.term.first_terms:
                fee = case.general_term("settle_fee_rate", then=True)
                rate = ZERO
        worked.stated.append(fee)
    if rate is not None:
        worked.inputs["penalty_rate"] = rate
    result = await _calculated("settle", {**given, "penalty_rate": rate or ZERO})
    worked.figures = {
        "interest_cny": result.interest_cny,
        "penalty_cny": result.penalty_cny,
        "total_cny": result.total_cny,
    }
    worked.headline = ("total_cny", "interest_cny")
    worked.basis = loan_math.in_words(result.basis, case.locale)
    _say_rate(worked, case.asked.arguments)
    worked.say(
        "given_settle" if rate is not None else "given_settle_bare", **given, **worked.figures
    )
    worked.say("estimate")
    worked.beneath = True
    return [worked]


async def overdue_given(case: Case) -> list[Worked]:
    """The penalty interest on a given overdue principal."""
    principal, annual = case.need("overdue_principal_cny", "annual_rate")
    uplift, grace = case.given("uplift"), case.given("grace_days")
    more: Values = {}
    worked = Worked()
    if uplift is None and case.product and case.signed:
        found = [case.general_term(name) for name in ("uplift", "grace_days", "grace_charged")]
        worked.stated = found
        uplift = _fraction(found[0].term.value)
        more["cap_annual_rate"] = _fraction(found[0].term.cap) if found[0].term.cap else None
        grace = int(found[1].term.value) if grace is None else grace
        more["grace_charged"] = found[2].term.value == "yes"
    if uplift is None:
        raise Asks("ask", "uplift")
    days = case.given("days_overdue")
    if case.given("charged_days") is not None and days is None:
        # Counted from the end of the days of grace.
        days = (grace or 0) + case.given("charged_days")
        if more.get("grace_charged"):
            raise Asks("ask", "days_overdue")
    if days is None:
        raise Asks("ask", "days_overdue")
    arguments = {
        "overdue_principal_cny": principal,
        "annual_rate": annual,
        "days_overdue": days,
        "uplift": uplift,
        **more,
    }
    if grace is not None:
        arguments["grace_days"] = grace
    result = await _calculated(
        "overdue", {name: value for name, value in arguments.items() if value is not None}
    )
    worked.inputs = {n: v for n, v in arguments.items() if v is not None}
    worked.figures = {
        "penalty_annual_rate": result.penalty_annual_rate,
        "charged_days": result.charged_days,
        "penalty_cny": result.penalty_cny,
    }
    worked.headline = ("penalty_cny", "penalty_annual_rate", "charged_days")
    worked.basis = loan_math.in_words(result.basis, case.locale)
    worked.say(
        "given_overdue", overdue_principal_cny=principal, days_overdue=days, **worked.figures
    )
    worked.say("estimate")
    worked.beneath = True
    return [worked]


async def compare(case: Case) -> list[Worked]:
    """Two plans side by side."""
    sides = [case.given(side) for side in ("a", "b")]
    if not all(sides):
        raise Asks("ask", "plan")
    a, b = (_lent(side) for side in sides)
    result = await _calculated("compare", {"a": a, "b": b})
    worked = Worked(inputs={"a": a, "b": b})
    worked.figures = {
        "cost_a_cny": result.a.cost_cny,
        "cost_b_cny": result.b.cost_cny,
        "difference_cny": abs(result.cost_difference_cny),
    }
    rates = []
    for side, lent, schedule in (("a", a, result.a), ("b", b, result.b)):
        rate = schedule.annual.simple_annual_rate if schedule.annual else ZERO
        rates.append(show("simple_annual_rate", rate, case.locale))
        worked.figures[f"{side}_simple_annual_rate"] = rate
        shown = {name: show(name, value, case.locale) for name, value in lent.items()}
        shown["method"] = case.word(lent["method"])
        form = "plan_fee" if lent["method"] == "instalment_fee" else "plan_rate"
        worked.say(
            f"plan_{side}",
            plan=case.word(form, **shown),
            cost_cny=schedule.cost_cny,
            simple_annual_rate=rate,
        )
    worked.headline = ("cost_a_cny", "cost_b_cny")
    worked.basis = loan_math.in_words(result.basis, case.locale)
    worked.say(f"cheaper_{result.less_cost}", difference_cny=abs(result.cost_difference_cny))
    # Two rates that are shown as the same one are not called different.
    if result.lower_rate not in (None, "same", result.less_cost) and rates[0] != rates[1]:
        worked.say(f"lower_rate_{result.lower_rate}")
    worked.say("estimate")
    worked.beneath = True
    return [worked]


TOOLS: Mapping[str, Run] = {
    "next_payment": next_payment,
    "my_loans": my_loans,
    "my_schedule": my_schedule,
    "settle": settle,
    "prepay": prepay,
    "overdue_cost": overdue_cost,
    "my_coupons": my_coupons,
    "my_applications": my_applications,
    "my_statement": my_statement,
    "instalment": instalment,
    "days_interest": days_interest,
    "annual_rate": annual_rate,
    "convert_rate": convert_rate,
    "settle_given": settle_given,
    "overdue_given": overdue_given,
    "compare": compare,
}
