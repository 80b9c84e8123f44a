"""The lender's customers: every source alike, nothing half, nothing late, and those of the demo."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import numpy_financial as npf
import pytest

from assistant.api.app import create_app
from assistant.customers import (
    COLUMNS,
    CustomerDataBroken,
    CustomerSource,
    CustomersUnavailable,
    Guarded,
    ListedCustomers,
    Loan,
    MemoryCustomers,
    Record,
    SqlCustomers,
    masked_id,
    masked_name,
    write_file,
)
from assistant.demo_customers import (
    CHANNELS,
    DUE_IN,
    STATES,
    Person,
    demo_file,
    demo_people,
    labels,
    seed,
    typical,
)
from assistant.deps import Deps
from assistant.identity import Secrets, Tokens
from assistant.logs import log_to_stderr
from prompts.render import notice

from .test_identity import RULES, SECRET, as_borrower

TODAY = date(2026, 11, 26)
READS = ("profile", "loans", "coupons", "applications", "consents")


@pytest.fixture(scope="module")
def people() -> list[Person]:
    return demo_people(TODAY)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory, people: list[Person]) -> Path:
    made = tmp_path_factory.mktemp("customers") / "customers.db"
    write_file(made, (person.record for person in people))
    return made


def sql(file: Path, timeout_s: float = 5) -> SqlCustomers:
    return SqlCustomers(f"sqlite+aiosqlite:///{file}", timeout_s)


@pytest.fixture(params=["sql", "memory", "guarded sql"])
async def source(
    request: pytest.FixtureRequest, file: Path, people: list[Person]
) -> AsyncIterator[CustomerSource]:
    """Each implementation, over the same records."""
    opened: CustomerSource
    match request.param:
        case "memory":
            opened = MemoryCustomers(person.record for person in people)
        case "sql":
            opened = sql(file)
        case _:
            opened = Guarded(sql(file), 5)
    yield opened
    await opened.close()


def content(file: Path) -> bytes:
    return file.read_bytes()


def names_in(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir()]


def of_state(people: Sequence[Person], state: str) -> list[Record]:
    return [person.record for person in people if person.state == state]


# Every source


async def test_a_source_gives_back_what_it_was_filled_with(
    source: CustomerSource, people: list[Person]
) -> None:
    for person in typical(people):
        record = person.record
        customer_id = record.customer.id
        assert await source.profile(customer_id) == record.customer
        assert set(await source.loans(customer_id)) == set(record.loans)
        assert set(await source.coupons(customer_id)) == set(record.coupons)
        assert set(await source.applications(customer_id)) == set(record.applications)
        assert set(await source.consents(customer_id)) == set(record.consents)


async def test_a_source_gives_each_list_in_its_order(
    source: CustomerSource, people: list[Person]
) -> None:
    rich = max(people, key=lambda p: len(p.record.loans) + len(p.record.coupons)).record
    customer_id = rich.customer.id
    loans = await source.loans(customer_id)
    assert [loan.disbursed_on for loan in loans] == sorted(loan.disbursed_on for loan in loans)
    for loan in loans:
        assert [i.number for i in loan.schedule] == list(range(1, len(loan.schedule) + 1))
        paid = [r.paid_on for r in loan.repayments]
        assert paid == sorted(paid)
    coupons = [c.valid_to for c in await source.coupons(customer_id)]
    assert coupons == sorted(coupons)
    applied = [a.applied_on for a in await source.applications(customer_id)]
    assert applied == sorted(applied, reverse=True)


@pytest.mark.parametrize(
    "customer_id",
    ["", "demo-9999", "DEMO-0023", "demo-0023 ", "demo-00%", "' OR '1'='1", "x" * 999],
)
async def test_a_source_knows_nobody_by_another_id(
    source: CustomerSource, customer_id: str
) -> None:
    assert await source.profile(customer_id) is None
    for read in READS[1:]:
        assert await getattr(source, read)(customer_id) == ()


def test_a_source_has_the_fewest_methods() -> None:
    named = {n for n, _ in inspect.getmembers(CustomerSource, inspect.isfunction) if n[0] != "_"}
    assert named == {*READS, "close"}


async def test_a_source_that_can_be_gone_through_gives_the_same_records(
    source: CustomerSource, people: list[Person]
) -> None:
    assert isinstance(source, ListedCustomers)
    found = await source.some_records(10_000)
    assert [r.customer.id for r in found] == sorted(p.record.customer.id for p in people)
    assert await source.some_records(3) == found[:3]
    for record in found[::20]:
        customer_id = record.customer.id
        assert record.customer == await source.profile(customer_id)
        assert record.loans == await source.loans(customer_id)
        assert record.coupons == await source.coupons(customer_id)
        assert record.consents == await source.consents(customer_id)


# In SQL


async def test_the_lenders_database_cannot_be_written(file: Path) -> None:
    source = sql(file)
    before = content(file)
    async with source._engine.connect() as connection:
        for statement in ("DELETE FROM loans", "CREATE TABLE x (y)", "UPDATE customers SET id = 1"):
            with pytest.raises(Exception, match="readonly"):
                await connection.exec_driver_sql(statement)
    await source.close()
    assert content(file) == before


async def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    source = sql(tmp_path / "none.db")
    with pytest.raises(CustomersUnavailable):
        await source.profile("demo-0001")
    await source.close()
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(
    "content", [b"", b"no database at all, but text" * 40], ids=["empty", "text"]
)
async def test_a_file_that_is_no_database_of_customers_is_unavailable(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "other.db").write_bytes(content)
    source = sql(tmp_path / "other.db")
    for read in READS:
        with pytest.raises(CustomersUnavailable):
            await getattr(source, read)("demo-0001")
    await source.close()


async def test_amounts_and_days_may_be_stored_as_numbers(
    tmp_path: Path, people: list[Person]
) -> None:
    """As views of another system may give them: a float that is exact to the fen stays so."""
    record = of_state(people, "active")[0]
    file = tmp_path / "own.db"
    with closing(sqlite3.connect(file)) as connection, connection:
        for name, columns in COLUMNS.items():
            kinds = ", ".join(
                f"{c} {'REAL' if c.endswith('_cny') or c == 'annual_rate' else 'BLOB'}"
                for c in columns
            )
            connection.execute(f"CREATE TABLE {name} ({kinds})")
        write_file(tmp_path / "text.db", [record])
        connection.execute("ATTACH ? AS other", (str(tmp_path / "text.db"),))
        for name in COLUMNS:
            connection.execute(f"INSERT INTO main.{name} SELECT * FROM other.{name}")
    source = sql(file)
    assert set(await source.loans(record.customer.id)) == set(record.loans)
    await source.close()


Damage = tuple[str, str]
DAMAGED: dict[Damage, str] = {
    ("UPDATE customers SET birth_date = 'soon'", "profile"): "customers.birth_date",
    ("UPDATE customers SET student = NULL", "profile"): "customers.student",
    ("UPDATE customers SET student = 'maybe'", "profile"): "customers.student",
    ("UPDATE customers SET name = ' '", "profile"): "customers.name",
    ("UPDATE loans SET principal_cny = NULL", "loans"): "loans.principal_cny",
    ("UPDATE loans SET principal_cny = '12.345'", "loans"): "loans.principal_cny",
    ("UPDATE loans SET principal_cny = '-5'", "loans"): "loans.principal_cny",
    ("UPDATE loans SET principal_cny = 'NaN'", "loans"): "loans.principal_cny",
    ("UPDATE loans SET principal_cny = '1e400'", "loans"): "loans.principal_cny",
    ("UPDATE loans SET principal_cny = '0.01'", "loans"): "loans.schedule.principal_cny",
    ("UPDATE loans SET annual_rate = '14.4'", "loans"): "loans.annual_rate",
    ("UPDATE loans SET annual_rate = 'Infinity'", "loans"): "loans.annual_rate",
    ("UPDATE loans SET method = 'balloon'", "loans"): "loans.method",
    ("UPDATE loans SET state = 'gone'", "loans"): "loans.state",
    ("UPDATE loans SET state = 'settled'", "loans"): "loans.settled_on",
    ("UPDATE loans SET state = 'disputed'", "loans"): "loans.disputed_on",
    ("UPDATE loans SET disbursed_on = '2031-02-29'", "loans"): "loans.disbursed_on",
    ("UPDATE loans SET contract_date = '2099-01-01'", "loans"): "loans.disbursed_on",
    ("DELETE FROM instalments", "loans"): "loans.schedule",
    ("DELETE FROM instalments WHERE number = '2'", "loans"): "loans.schedule.number",
    ("DELETE FROM instalments WHERE number > '1'", "loans"): "loans.schedule.principal_cny",
    ("UPDATE instalments SET due_on = '2020-01-01'", "loans"): "loans.schedule.due_on",
    ("UPDATE instalments SET interest_cny = '1.001'", "loans"): "instalments.interest_cny",
    ("UPDATE instalments SET number = 'first'", "loans"): "instalments.number",
    ("UPDATE repayments SET instalment = '999'", "loans"): "loans.repayments.instalment",
    ("UPDATE repayments SET instalment = NULL", "loans"): "loans.repayments.instalment",
    ("UPDATE repayments SET kind = 'gift'", "loans"): "repayments.kind",
    ("UPDATE repayments SET paid_on = '2000-01-01'", "loans"): "loans.repayments.paid_on",
    ("UPDATE repayments SET principal_cny = '99999.00'", "loans"): "loans.repayments.principal_cny",
    ("UPDATE repayments SET penalty_cny = NULL", "loans"): "repayments.penalty_cny",
    ("UPDATE coupons SET kind = 'cash'", "coupons"): "coupons.kind",
    (
        "UPDATE coupons SET discount = NULL, free_days = NULL, amount_cny = NULL",
        "coupons",
    ): "coupons.",
    ("UPDATE coupons SET valid_to = '2000-01-01'", "coupons"): "coupons.valid_to",
    ("UPDATE applications SET months = '1.5'", "applications"): "applications.months",
    ("UPDATE consents SET given = 'perhaps'", "consents"): "consents.given",
}
"""(what is done to the database, what is read then) -> the field that is named."""


@pytest.mark.parametrize(("damage", "field"), DAMAGED.items(), ids=str)
async def test_a_record_that_is_half_there_names_the_field_and_no_value(
    tmp_path: Path,
    people: list[Person],
    capsys: pytest.CaptureFixture[str],
    damage: Damage,
    field: str,
) -> None:
    log_to_stderr()
    rich = next(
        r for r in of_state(people, "active") if r.coupons and r.consents and len(r.loans) == 1
    )
    write_file(tmp_path / "own.db", [rich])
    statement, read = damage
    with closing(sqlite3.connect(tmp_path / "own.db")) as connection, connection:
        connection.execute(statement)
    source = Guarded(sql(tmp_path / "own.db"), 5)
    with pytest.raises(CustomerDataBroken) as broken:
        await getattr(source, read)(rich.customer.id)
    await source.close()
    assert broken.value.field.startswith(field)
    told = capsys.readouterr().err
    assert json.loads(told)["field"] == broken.value.field
    for secret in (rich.customer.id, rich.customer.name, rich.customer.phone, rich.loans[0].id):
        assert secret not in told + str(broken.value)


async def test_two_customers_by_one_id_are_a_fault(tmp_path: Path, people: list[Person]) -> None:
    write_file(tmp_path / "own.db", [people[0].record, people[0].record])
    source = sql(tmp_path / "own.db")
    with pytest.raises(CustomerDataBroken, match=r"customers\.id"):
        await source.profile(people[0].record.customer.id)
    await source.close()


# What guards a source


class Mixing(MemoryCustomers):
    """Answers for somebody else, as a source with a fault would."""

    def __init__(self, other: Record) -> None:
        super().__init__([other])
        self._other = other.customer.id

    async def profile(self, customer_id: str) -> Any:
        return await super().profile(self._other)

    async def loans(self, customer_id: str) -> Any:
        return await super().loans(self._other)

    async def coupons(self, customer_id: str) -> Any:
        return await super().coupons(self._other)

    async def applications(self, customer_id: str) -> Any:
        return await super().applications(self._other)

    async def consents(self, customer_id: str) -> Any:
        return await super().consents(self._other)


async def test_the_record_of_somebody_else_is_never_passed_on(people: list[Person]) -> None:
    rich = next(r for r in of_state(people, "active") if r.coupons and r.consents)
    source = Guarded(Mixing(rich), 5)
    for read in READS:
        with pytest.raises(CustomerDataBroken):
            await getattr(source, read)("demo-0001")
        assert await getattr(source, read)(rich.customer.id)


class Answering(MemoryCustomers):
    """Gives whatever it is told to for loans, coupons and applications."""

    def __init__(self, made: Any) -> None:
        super().__init__([])
        self._made = made

    async def loans(self, customer_id: str) -> Any:
        return self._made()

    coupons = applications = loans


def failing() -> Any:
    raise RuntimeError("password=hush")


@pytest.mark.parametrize("read", ["loans", "coupons", "applications"])
async def test_whatever_a_source_does_is_a_fault_or_a_whole_record(
    people: list[Person], read: str
) -> None:
    record = next(
        p.record for p in people if p.record.loans and p.record.coupons and p.record.applications
    )
    who = record.customer.id
    rows = getattr(record, read)
    assert await getattr(Guarded(Answering(lambda: iter(rows)), 5), read)(who) == rows
    with pytest.raises(CustomersUnavailable) as told:
        await getattr(Guarded(Answering(failing), 5), read)(who)
    assert "hush" not in str(told.value)
    for broken in (None, 5, "abc", [None], [*rows, *rows]):
        with pytest.raises(CustomerDataBroken):
            await getattr(Guarded(Answering(lambda made=broken: made), 5), read)(who)


@pytest.mark.parametrize(
    "half",
    [
        {"principal_cny": None},
        {"principal_cny": 50800.0},
        {"annual_rate": Decimal("NaN")},
        {"state": "weird"},
        {"method": "balloon"},
        {"schedule": None},
    ],
)
async def test_half_a_loan_is_a_fault(people: list[Person], half: dict[str, Any]) -> None:
    record = of_state(people, "active")[0]
    loan = replace(record.loans[0], **half)
    with pytest.raises(CustomerDataBroken):
        await Guarded(Answering(lambda: [loan]), 5).loans(record.customer.id)


class Stubborn(MemoryCustomers):
    """Answers never, and does not let itself be stopped at once either."""

    async def profile(self, customer_id: str) -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.2)


async def test_a_slow_source_is_left_in_time() -> None:
    source = Guarded(Stubborn([]), 0.02)
    started = time.perf_counter()
    with pytest.raises(CustomersUnavailable):
        await source.profile("demo-0001")
    assert time.perf_counter() - started < 0.15
    await asyncio.sleep(0.25)  # warnings of tasks that nobody waits for would be errors


async def test_a_database_that_others_hold_is_left_in_time(
    tmp_path: Path, people: list[Person]
) -> None:
    write_file(tmp_path / "own.db", [people[0].record])
    source = Guarded(sql(tmp_path / "own.db", 0.05), 0.5)
    with closing(sqlite3.connect(tmp_path / "own.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(CustomersUnavailable):
            await source.profile(people[0].record.customer.id)
        other.execute("ROLLBACK")
    assert await source.profile(people[0].record.customer.id) is not None
    await source.close()


def test_a_record_does_not_show_who_it_is_of(people: list[Person]) -> None:
    for person in people:
        customer = person.record.customer
        shown = repr(person)
        for secret in (customer.id, customer.name, customer.phone, str(customer.birth_date)):
            assert secret not in shown
        assert customer.id not in masked_id(customer.id)
        assert masked_name(customer.name).startswith(customer.name[0])
        assert customer.name[1:] not in masked_name(customer.name)


# What a borrower is told


@pytest.mark.parametrize("locale", ["zh-Hans", "en"])
@pytest.mark.parametrize("fault", ["slow", "half", "down"])
async def test_a_borrower_is_told_of_a_fault_and_given_the_hotline(
    deps: Deps, people: list[Person], tmp_path: Path, fault: str, locale: str
) -> None:
    record = of_state(people, "active")[0]
    loan = record.loans[0]
    half = replace(record, loans=(replace(loan, schedule=loan.schedule[:-1]),))
    source: dict[str, Callable[[], CustomerSource]] = {
        "slow": lambda: Stubborn([]),
        "half": lambda: MemoryCustomers([half]),
        "down": lambda: sql(tmp_path / "none.db"),
    }
    deps.customers = Guarded(source[fault](), 0.02)
    deps.tokens = Tokens(RULES, Secrets([SECRET]))
    await deps.index()
    app = create_app(deps.settings, deps)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
    ):
        headers = as_borrower(record.customer.id) | {"Accept-Language": locale}
        answer = await client.get("/v1/me", headers=headers)
    assert answer.status_code == 503
    body = answer.json()
    code = "customer_data_broken" if fault == "half" else "customers_unavailable"
    assert body["detail"].startswith(notice(code, locale))
    assert body["contact"]["hotline"] == "400-000-0000"
    assert "400-000-0000" in body["detail"]
    assert "schedule" not in answer.text
    await asyncio.sleep(0.25 if fault == "slow" else 0)


# The demo's customers

DAYS = (TODAY, date(2027, 1, 30), date(2027, 3, 1), date(2028, 2, 29), date(2026, 12, 31))


@pytest.mark.parametrize("today", DAYS, ids=str)
def test_two_hundred_customers_are_in_the_state_they_stand_for(today: date) -> None:
    people = demo_people(today)
    assert len(people) == 200
    assert len({person.record.customer.id for person in people}) == 200
    assert {person.state for person in people} == set(STATES)
    for person in people:
        record, state = person.record, person.state
        loans = record.loans
        born = record.customer.birth_date
        birthday_passed = (today.month, today.day) >= (born.month, born.day)
        age = today.year - born.year - (not birthday_passed)
        assert (age < 18) == (state == "minor")
        assert record.customer.student == (state == "student")
        assert bool(loans) == (state not in ("new", "minor", "student"))
        assert all(loan.contract_date >= record.customer.since for loan in loans)
        if state in DUE_IN:
            oldest = min(loan.unpaid()[0].due_on for loan in loans)
            assert oldest - today == timedelta(days=DUE_IN[state])
        else:
            assert not any(loan.days_overdue(today) for loan in loans)
        expected = {"settled": "settled", "disputed": "disputed"}.get(state, "open")
        assert {loan.state for loan in loans} <= {expected}
        refused = [c for c in record.consents if c.purpose == "marketing" and not c.given]
        if state == "opted_out":
            assert {c.channel for c in refused} == {*CHANNELS, "wechat"}
            assert len(refused) == len(record.consents)


@pytest.mark.parametrize("today", DAYS, ids=str)
async def test_every_record_of_the_demo_is_whole(today: date) -> None:
    people = demo_people(today)
    source = Guarded(MemoryCustomers(person.record for person in people), 5)
    for person in people:
        for read in READS:
            await getattr(source, read)(person.record.customer.id)


def expected_interest(loan: Loan) -> list[Decimal]:
    """By floating point with numpy-financial, or by hand where a fen is taken each period."""
    n, monthly = len(loan.schedule), float(loan.annual_rate) / 12
    principal = float(loan.principal_cny)
    if loan.method == "equal_instalment":
        return [Decimal(-npf.ipmt(monthly, k, n, principal)) for k in range(1, n + 1)]
    if loan.method == "equal_principal":
        return [Decimal(principal * (n - k + 1) / n * monthly) for k in range(1, n + 1)]
    days = [loan.disbursed_on, *(i.due_on for i in loan.schedule)]
    return [
        Decimal(principal * float(loan.annual_rate) / 365 * (b - a).days) for a, b in pairwise(days)
    ]


def test_schedules_are_those_of_an_independent_calculation(people: list[Person]) -> None:
    """Within what rounding each instalment to the fen adds up to."""
    methods = set()
    for loan in (loan for person in people for loan in person.record.loans):
        methods.add(loan.method)
        for instalment, interest in zip(loan.schedule, expected_interest(loan), strict=True):
            assert abs(instalment.interest_cny - interest) <= Decimal("0.02")
        assert sum(i.principal_cny for i in loan.schedule) == loan.principal_cny
        if loan.method == "equal_instalment":
            *same, last = [i.amount_cny for i in loan.schedule]
            assert len(set(same)) == 1
            assert abs(last - same[0]) < Decimal("0.30")
    assert methods == {"equal_instalment", "equal_principal", "interest_only"}


def test_the_demos_customers_are_the_same_each_time_and_move_with_the_day(
    people: list[Person],
) -> None:
    assert demo_people(TODAY) == people
    tomorrow = demo_people(TODAY + timedelta(days=1))
    names = [person.record.customer.name for person in people]
    assert [person.record.customer.name for person in tomorrow] == names
    assert tomorrow != people


async def test_seeding_replaces_the_file_at_once(tmp_path: Path) -> None:
    seed(tmp_path, TODAY - timedelta(days=9))
    people = seed(tmp_path, TODAY)
    assert names_in(tmp_path) == [demo_file(tmp_path).name]
    due = of_state(people, "due_tomorrow")[0]
    source = Guarded(sql(demo_file(tmp_path)), 5)
    assert (await source.loans(due.customer.id))[0].unpaid()[0].due_on == date(2026, 11, 27)
    await source.close()


def test_the_typical_ones_are_one_for_each_state_and_named_in_every_language(
    people: list[Person],
) -> None:
    assert [person.state for person in typical(people)] == list(STATES)
    for state in STATES:
        assert set(labels(state)) == {"zh-Hans", "zh-Hant", "en"}
        assert all(labels(state).values())


def test_the_document_lists_every_table_and_column() -> None:
    text = (Path(__file__).parent.parent / "docs" / "customers.md").read_text("utf-8")
    listed = {
        part.partition("\n")[0]: re.findall(r"^\| `(\w+)` \|", part, re.M)
        for part in text.split("\n## ")[1:]
    }
    assert listed == {name: list(columns) for name, columns in COLUMNS.items()}
