"""Staff: accounts, signing in, sessions, the table of routes, and attacks on all of it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import re
import statistics
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from anyio.from_thread import start_blocking_portal
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import delete, insert, select, update
from typer.testing import CliRunner

import assistant
from assistant import staff
from assistant.api.access import (
    ACCESS,
    COOKIE,
    CSRF_HEADER,
    SECURE_COOKIE,
    RouteWithoutAccess,
    rules_of,
)
from assistant.api.app import create_app
from assistant.api.server import NotOnLoopback, hold_to_loopback
from assistant.audit import Trail, append, last_entry
from assistant.cli import app as command_line
from assistant.db import audit_entries, staff_sessions
from assistant.db import staff as staff_table
from assistant.deps import Deps, open_deps
from assistant.journal import read_record
from assistant.logs import log_to_stderr
from assistant.staff import (
    ADDRESS_BUDGET,
    LOGIN_BUDGET,
    ROLES,
    Account,
    BadAccount,
    Denied,
    SessionRules,
    SignedIn,
)
from prompts.render import notice
from tests.conftest import SHIPPED_HASHER, settings_for
from tests.test_answer import EARLY
from tests.test_api import listening, problem_of

PASSWORD = "a quiet morning 7"
OTHER = "some other words 8"
NOW = datetime(2026, 11, 24, 1, tzinfo=UTC)
RULES = SessionRules(idle=timedelta(minutes=30), longest=timedelta(hours=12))
WEB = Path(assistant.__file__).parent / "web"
SESSION = "/v1/staff/session"
ME = "/v1/staff/me"
ACCOUNTS = "/v1/staff/accounts"


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[Deps]:
    """A home of its own, without any knowledge."""
    async with open_deps(settings_for(tmp_path / "home")) as opened:
        yield opened


@pytest.fixture
def trail(own: Deps) -> Trail:
    return own.trail


async def add(trail: Trail, login: str = "lihua", *roles: str, **more: Any) -> Account:
    return await staff.create_account(trail, login, "李华", roles or ["agent"], PASSWORD, **more)


async def enter(
    trail: Trail,
    login: str = "lihua",
    password: str = PASSWORD,
    *,
    now: datetime = NOW,
    address: str = "203.0.113.7",
    rules: SessionRules = RULES,
) -> SignedIn | Denied:
    return await staff.sign_in(trail, login, password, rules, address=address, now=now)


async def session(trail: Trail, login: str = "lihua", now: datetime | None = None) -> str:
    signed_in = await enter(trail, login, now=now or datetime.now(UTC))
    assert isinstance(signed_in, SignedIn)
    return signed_in.token


# Accounts


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("short 1", "staff_password_length"),
        ("x9" * 129, "staff_password_length"),
        ("liuxiaoming88", "staff_password_login"),
        ("LiuXiaoMing88!!", "staff_password_login"),
        ("Password1234", "staff_password_common"),
        ("ｑｗｅｒｔｙｕｉｏｐ１２", "staff_password_common"),
        ("abababababab", "staff_password_common"),
    ],
)
def test_a_weak_password_is_refused(password: str, code: str) -> None:
    with pytest.raises(BadAccount) as refused:
        staff.check_password(password, "liuxiaoming88")
    assert refused.value.code == code
    assert password not in str(refused.value.values)


def test_a_long_password_may_hold_the_login() -> None:
    staff.check_password("seven lihua walks by the river", "lihua")


@pytest.mark.parametrize(
    ("text", "login"),
    [
        ("LiHua", "lihua"),
        ("ｌｉｈｕａ ", "lihua"),
        ("王芳", "王芳"),
        ("li.hua@lender-1", "li.hua@lender-1"),
        ("аdmin", None),  # the first letter is Cyrillic
        ("ad\u200bmin", None),
        ("\u202enimda", None),
        ("admin\x00", None),
        ("' OR 1=1 --", None),
        ("-admin", None),
        ("a", None),
        ("a" * 65, None),
        ("a\ud800b", None),
        ("", None),
    ],
)
def test_a_login_is_what_it_looks_like(text: str, login: str | None) -> None:
    assert staff.normal_login(text) == login


@pytest.mark.parametrize(
    ("login", "name", "roles", "code"),
    [
        ("аdmin", "x", ["agent"], "staff_bad_login"),
        ("lihua", " ", ["agent"], "staff_bad_name"),
        ("lihua", "a\u202eb", ["agent"], "staff_bad_name"),
        ("lihua", "x" * 65, ["agent"], "staff_bad_name"),
        ("lihua", "x", [], "staff_bad_roles"),
        ("lihua", "x", ["agent", "root"], "staff_bad_roles"),
        ("ＺＨＡＯ", "x", ["agent"], "staff_login_taken"),
    ],
)
async def test_an_account_that_cannot_be_is_refused(
    trail: Trail, login: str, name: str, roles: list[str], code: str
) -> None:
    await add(trail, "zhao")
    with pytest.raises(BadAccount) as refused:
        await staff.create_account(trail, login, name, roles, PASSWORD)
    assert refused.value.code == code
    assert [a.login for a in await staff.list_accounts(trail.engine)] == ["zhao"]


def test_a_hash_costs_what_is_recommended() -> None:
    hasher, decoy = SHIPPED_HASHER()
    for made in (decoy, hasher.hash(PASSWORD)):
        assert made.startswith("$argon2id$v=19$m=65536,t=3,p=4$")


async def test_a_password_is_kept_as_an_argon2_hash(trail: Trail) -> None:
    await add(trail)
    async with trail.engine.connect() as connection:
        kept = str(await connection.scalar(select(staff_table.c.password_hash)))
    assert kept.startswith("$argon2id$")
    assert PASSWORD not in kept


# Signing in


async def test_a_session_stands_for_who_signed_in(trail: Trail) -> None:
    account = await add(trail, "lihua", "marketer", "agent")
    signed_in = await enter(trail, "LIHUA")
    assert isinstance(signed_in, SignedIn)
    found = await staff.session_of(trail, signed_in.token, RULES, now=NOW)
    assert found == signed_in.signed
    assert (found.staff_id, found.login, found.name) == (account.id, "lihua", "李华")
    assert found.roles == {"agent", "marketer"}
    assert found.csrf_token not in signed_in.token
    assert signed_in.token not in repr(signed_in)
    async with trail.engine.connect() as connection:
        kept = str((await connection.execute(select(staff_sessions))).all())
    assert signed_in.token not in kept
    assert signed_in.token.removeprefix("zxs_") not in kept


async def test_a_password_is_the_same_from_every_keyboard(trail: Trail) -> None:
    await staff.create_account(trail, "lihua", "x", ["agent"], "caf\u00e9 au lait 77")
    assert isinstance(await enter(trail, password="cafe\u0301 au lait ７７"), SignedIn)


async def test_every_failure_is_told_alike(trail: Trail) -> None:
    await add(trail)
    closed = await add(trail, "closed")
    await staff.set_disabled(trail, closed.id, True)
    await add(trail, "demo", demo=True)
    told = {
        await enter(trail, login, password)
        for login, password in [
            ("lihua", OTHER),
            ("nobody", PASSWORD),
            ("closed", PASSWORD),
            ("demo", PASSWORD),
            ("' OR '1'='1", PASSWORD),
            ("\ud800", "\ud800"),
        ]
    }
    assert told == {Denied()}


async def test_an_unknown_login_costs_what_a_known_one_costs(trail: Trail) -> None:
    await add(trail)

    async def cost_s(login: str, number: int) -> float:
        started = time.process_time()  # of all threads, and none of the waiting
        await enter(trail, login, OTHER, now=NOW + timedelta(days=2 * number))
        return time.process_time() - started

    await cost_s("lihua", 0)
    # In turns, so that what else the machine does falls on both.
    costs = [(await cost_s("lihua", n), await cost_s("nobody", n)) for n in range(1, 16)]
    known, unknown = (statistics.median(each) for each in zip(*costs, strict=True))
    assert 0.6 < unknown / known < 1.6


@pytest.mark.parametrize("login", ["lihua", "nobody"])
async def test_failures_pause_a_login_for_longer_and_longer(trail: Trail, login: str) -> None:
    await add(trail)
    now = NOW
    for _ in range(LOGIN_BUDGET.free):
        assert await enter(trail, login, OTHER, now=now) == Denied()
    for pause_s in (30, 60, 120):
        assert await enter(trail, login, now=now) == Denied(wait_s=pause_s)
        now += timedelta(seconds=pause_s)
        assert await enter(trail, login, OTHER, now=now) == Denied()
    assert LOGIN_BUDGET.pause(100) == timedelta(minutes=15)


async def test_the_right_password_after_the_pause_starts_anew(trail: Trail) -> None:
    await add(trail)
    for _ in range(LOGIN_BUDGET.free):
        await enter(trail, password=OTHER)
    later = NOW + timedelta(seconds=30)
    assert isinstance(await enter(trail, now=later), SignedIn)
    assert await enter(trail, password=OTHER, now=later) == Denied()
    assert isinstance(await enter(trail, now=later), SignedIn)


async def test_attempts_at_the_same_moment_are_no_way_around_the_pause(
    trail: Trail,
) -> None:
    await add(trail)
    outcomes = await asyncio.gather(*(enter(trail, password=OTHER) for _ in range(12)))
    assert outcomes.count(Denied()) == LOGIN_BUDGET.free
    assert outcomes.count(Denied(wait_s=30)) == 12 - LOGIN_BUDGET.free


async def test_an_address_that_tries_many_logins_is_paused_whatever_it_knows(
    trail: Trail,
) -> None:
    await add(trail)
    subjects = {staff._subject("address", "203.0.113.7"): ADDRESS_BUDGET}
    for _ in range(ADDRESS_BUDGET.free - 1):
        await staff._count_attempt(trail.engine, subjects, NOW)
    # A login of one's own does not wipe the failures at others out.
    assert isinstance(await enter(trail), SignedIn)
    assert await enter(trail, "nobody", OTHER) == Denied()
    assert await enter(trail) == Denied(wait_s=30)
    assert isinstance(await enter(trail, address="203.0.113.8"), SignedIn)


async def test_a_new_password_ends_a_pause(trail: Trail) -> None:
    account = await add(trail)
    for _ in range(LOGIN_BUDGET.free):
        await enter(trail, password=OTHER)
    await staff.reset_password(trail, account.id, OTHER)
    assert isinstance(await enter(trail, password=OTHER), SignedIn)


# Sessions


async def test_a_session_ends_when_idle_and_after_its_longest_time(trail: Trail) -> None:
    await add(trail)
    token = await session(trail, now=NOW)

    async def alive(after: timedelta) -> bool:
        return await staff.session_of(trail, token, RULES, now=NOW + after) is not None

    assert await alive(timedelta(minutes=29))
    assert await alive(timedelta(minutes=58))
    assert not await alive(timedelta(minutes=88))
    used = timedelta(minutes=58)
    while used < timedelta(hours=12):
        assert await alive(used)
        used += timedelta(minutes=25)
    assert not await alive(timedelta(hours=12))


Change = Callable[[Trail, str], Any]


@pytest.mark.parametrize(
    "change",
    [
        lambda trail, id: staff.set_disabled(trail, id, True),
        lambda trail, id: staff.set_roles(trail, id, ["auditor"]),
        lambda trail, id: staff.reset_password(trail, id, OTHER),
    ],
    ids=["disabled", "roles", "password"],
)
async def test_a_changed_account_has_to_sign_in_again(trail: Trail, change: Change) -> None:
    account, bystander = await add(trail), await add(trail, "zhao")
    token, untouched = await session(trail), await session(trail, "zhao")
    await change(trail, account.id)
    assert await staff.session_of(trail, token, RULES) is None
    assert await staff.session_of(trail, untouched, RULES) is not None
    # Opened again, the account does not get the old session back.
    await staff.set_disabled(trail, account.id, False)
    assert await staff.session_of(trail, token, RULES) is None
    assert bystander.id != account.id


async def test_a_password_reset_while_the_old_one_is_verified_leaves_no_session(
    trail: Trail,
) -> None:
    account = await add(trail)
    async with trail.engine.connect() as connection:
        before = (await connection.execute(select(staff_table))).one()
    await staff.reset_password(trail, account.id, OTHER)
    assert await staff._open_session(trail, before, RULES, NOW) is None
    async with trail.engine.connect() as connection:
        assert (await connection.execute(select(staff_sessions))).all() == []


# Who can write to the database, and has no key


async def test_a_planted_session_is_nobodys(trail: Trail) -> None:
    boss = await add(trail, "boss", "admin")
    token = f"zxs_{boss.id}_{'A' * 43}"
    async with trail.engine.begin() as connection:
        await connection.execute(
            insert(staff_sessions).values(
                token_hash=hashlib.sha256(token.encode()).hexdigest(),
                staff_id=boss.id,
                created_at=NOW,
                last_seen_at=NOW,
                expires_at=NOW + timedelta(hours=1),
            )
        )
    assert await staff.session_of(trail, token, RULES, now=NOW) is None


async def test_a_session_that_was_turned_to_another_account_is_nobodys(trail: Trail) -> None:
    boss = await add(trail, "boss", "admin")
    await add(trail)
    token = await session(trail, now=NOW)
    async with trail.engine.begin() as connection:
        await connection.execute(update(staff_sessions).values(staff_id=boss.id))
    assert await staff.session_of(trail, token, RULES, now=NOW) is None


@pytest.mark.parametrize("change", [{"roles": ["admin"]}, {"login": "wang"}, {"name": "wang"}])
async def test_an_account_that_was_changed_past_the_chain_is_nobodys(
    trail: Trail, change: dict[str, Any]
) -> None:
    account = await add(trail)
    token = await session(trail, now=NOW)
    async with trail.engine.begin() as connection:
        await connection.execute(update(staff_table).values(change))
    assert await staff.session_of(trail, token, RULES, now=NOW) is None
    assert await enter(trail, str(change.get("login", "lihua"))) == Denied()
    await staff.set_roles(trail, account.id, ["agent"], by="admin")
    assert isinstance(await enter(trail, str(change.get("login", "lihua"))), SignedIn)


async def test_a_password_that_was_put_in_place_of_another_opens_nothing(trail: Trail) -> None:
    await add(trail, "boss", "admin")
    await staff.create_account(trail, "lihua", "x", ["agent"], OTHER)
    async with trail.engine.begin() as connection:
        known = select(staff_table.c.password_hash).where(staff_table.c.login == "lihua")
        await connection.execute(
            update(staff_table).values(password_hash=await connection.scalar(known))
        )
    assert await enter(trail, "boss", OTHER) == Denied()
    assert isinstance(await enter(trail, "lihua", OTHER), SignedIn)


async def test_an_account_that_the_chain_does_not_know_cannot_sign_in(trail: Trail) -> None:
    account = await add(trail)
    async with trail.engine.begin() as connection:
        row = (await connection.execute(select(staff_table))).one()._asdict()
        await connection.execute(
            insert(staff_table).values(row | {"id": "f" * 32, "login": "wang"})
        )
        entry = select(audit_entries).where(audit_entries.c.subject == account.id)
        told = (await connection.execute(entry)).one()._asdict()
        copied = told | {"seq": told["seq"] + 1, "subject": "f" * 32}
        await connection.execute(insert(audit_entries).values(copied))
    assert await enter(trail, "wang") == Denied()
    assert isinstance(await enter(trail), SignedIn)


async def test_a_closing_that_is_taken_out_of_the_chain_lets_nobody_in_again(
    trail: Trail,
) -> None:
    account = await add(trail)
    query = select(staff_table).where(staff_table.c.id == account.id)
    async with trail.engine.connect() as connection:
        open_row = (await connection.execute(query)).one()._asdict()
    await staff.set_disabled(trail, account.id, True, by="admin")
    closed = await last_entry(trail.engine)
    assert closed is not None
    await append(trail, "approval", "x", {})
    async with trail.engine.begin() as connection:
        await connection.execute(delete(audit_entries).where(audit_entries.c.seq == closed.seq))
        await connection.execute(update(staff_table).values(open_row))
    assert await enter(trail) == Denied()
    await staff.reset_password(trail, account.id, OTHER, by="admin")
    assert isinstance(await enter(trail, password=OTHER), SignedIn)


async def test_nobody_is_signed_in_while_the_chain_lacks_its_end(trail: Trail) -> None:
    await add(trail)
    token = await session(trail, now=NOW)
    last = await append(trail, "approval", "x", {})
    assert await staff.session_of(trail, token, RULES, now=NOW)
    async with trail.engine.begin() as connection:
        await connection.execute(delete(audit_entries).where(audit_entries.c.seq == last.seq))
    assert await staff.session_of(trail, token, RULES, now=NOW) is None
    assert await enter(trail) == Denied()


# The HTTP API


@dataclass(frozen=True)
class Served:
    app: Any
    trail: Trail
    client: httpx.AsyncClient

    def other_client(
        self, base_url: str = "http://localhost", address: str = "127.0.0.1"
    ) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(
            self.app, client=(address, 50000), raise_app_exceptions=False
        )
        return httpx.AsyncClient(transport=transport, base_url=base_url)

    async def signed_in(self, *roles: str, login: str = "lihua") -> dict[str, str]:
        """The client holds the cookie from now on; returns the header that goes with it."""
        await add(self.trail, login, *roles)
        answer = await self.client.post(SESSION, json={"login": login, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        return {"X-CSRF-Token": answer.json()["csrf_token"]}


@asynccontextmanager
async def serving(deps: Deps, **more: Any) -> AsyncIterator[Served]:
    app = create_app(deps.settings, deps, **more)
    async with app.router.lifespan_context(app):
        served = Served(app, deps.trail, httpx.AsyncClient())
        async with served.other_client() as client:
            yield Served(app, deps.trail, client)


@pytest.fixture
async def served(own: Deps) -> AsyncIterator[Served]:
    async with serving(own) as opened:
        yield opened


@pytest.fixture(autouse=True)
def log_lines(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[dict[str, Any]]]:
    log_to_stderr()
    return lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def example(path: str) -> str:
    """An address of a route."""
    return re.sub(r"\{[^}]*\}", "x", path)


RESTRICTED = [(m, p, access) for (m, p), access in ACCESS.items() if isinstance(access, frozenset)]


def test_every_route_has_a_row_and_every_row_a_route(tmp_path: Path) -> None:
    app = create_app(settings_for(tmp_path))
    named = {(method, rule.path) for rule in rules_of(app) for method in rule.methods}
    assert named == set(ACCESS)
    described = app.openapi()["paths"]
    in_schema = {(m.upper(), path) for path, methods in described.items() for m in methods}
    rows = {(method, re.sub(r":\w+\}", "}", path)) for method, path in ACCESS}
    assert in_schema <= rows


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_route_without_a_row_keeps_the_application_from_starting(
    tmp_path: Path, method: str
) -> None:
    app = create_app(settings_for(tmp_path))
    app.add_api_route("/v1/forgotten", lambda: {}, methods=[method])
    with pytest.raises(RouteWithoutAccess, match=f"{method} /v1/forgotten"):
        rules_of(app)


async def test_a_route_added_behind_the_guard_is_not_served(served: Served) -> None:
    served.app.add_api_route("/v1/late", lambda: {"open": True}, methods=["GET"])
    problem_of(await served.client.get("/v1/late"), 403)


async def test_nobody_passes_without_signing_in(served: Served, subtests: pytest.Subtests) -> None:
    for method, path, _ in RESTRICTED:
        with subtests.test(f"{method} {path}"):
            answer = await served.client.request(method, example(path), content=b"{not json")
            if path.startswith("/v1/"):
                problem_of(answer, 401)
                assert answer.headers["www-authenticate"].startswith("Bearer")
            else:
                assert answer.status_code == 303
                assert answer.headers["location"] == f"/sign-in?next={path}"


async def test_a_role_that_is_not_named_is_refused(
    served: Served, subtests: pytest.Subtests
) -> None:
    by_access = {row[2]: [each for each in RESTRICTED if each[2] == row[2]] for row in RESTRICTED}
    for number, (access, rows) in enumerate(by_access.items()):
        if not (others := set(ROLES) - access):
            continue
        csrf = await served.signed_in(*others, login=f"lihua{number}")
        for method, path, _ in rows:
            with subtests.test(f"{method} {path}"):
                answer = await served.client.request(method, example(path), headers=csrf)
                if path.startswith("/v1/"):
                    detail = problem_of(answer, 403)["detail"]
                    assert detail == notice("role_missing", "zh-Hans")
                else:
                    assert answer.headers["location"] == f"/sign-in?next={path}"


async def test_a_page_is_come_back_to_with_its_query(served: Served) -> None:
    answer = await served.client.get("/knowledge?view=diff&a=//x")
    assert answer.headers["location"] == "/sign-in?next=/knowledge%3Fview%3Ddiff%26a%3D//x"


@pytest.mark.parametrize(("scheme", "name"), [("http", COOKIE), ("https", SECURE_COOKIE)], ids=str)
async def test_the_cookie_is_held_as_tightly_as_it_can_be(
    served: Served, scheme: str, name: str
) -> None:
    await add(served.trail)
    async with served.other_client(f"{scheme}://localhost") as client:
        answer = await client.post(SESSION, json={"login": "lihua", "password": PASSWORD})
        cookie = answer.headers["set-cookie"]
        value, *flags = cookie.split("; ")
        assert value.startswith(f"{name}=zxs_")
        assert {"HttpOnly", "Path=/", "SameSite=strict"} <= set(flags)
        assert ("Secure" in flags) == (scheme == "https")
        assert "domain" not in cookie.lower()
        assert answer.json()["token"] is None
        assert value.partition("=")[2] not in answer.text
        assert answer.headers["cache-control"] == "no-store"
        me = await client.get(ME)
        assert me.status_code == 200
        assert me.headers["cache-control"] == "no-store"


async def test_a_cookie_of_http_is_worth_nothing_over_https(served: Served) -> None:
    await add(served.trail)
    token = await session(served.trail)
    async with served.other_client("https://localhost") as client:
        problem_of(await client.get(ME, headers={"Cookie": f"{COOKIE}={token}"}), 401)
        assert (
            await client.get(ME, headers={"Cookie": f"{SECURE_COOKIE}={token}"})
        ).status_code == 200


async def test_another_program_signs_in_for_a_token(served: Served) -> None:
    await add(served.trail, "boss", "admin")
    credentials = {"login": "boss", "password": PASSWORD, "token": True}
    answer = await served.client.post(SESSION, json=credentials)
    assert "set-cookie" not in answer.headers
    bearer = {"Authorization": f"Bearer {answer.json()['token']}"}
    new = {"login": "zhao", "name": "赵", "roles": ["agent"], "password": OTHER}
    assert (await served.client.post(ACCOUNTS, json=new, headers=bearer)).status_code == 201
    assert (await served.client.delete(SESSION, headers=bearer)).status_code == 204
    problem_of(await served.client.get(ME, headers=bearer), 401)


async def test_a_session_is_not_taken_over_from_before_signing_in(served: Served) -> None:
    await add(served.trail)
    fixed = "zxs_" + "A" * 43
    served.client.cookies.set(COOKIE, fixed)
    await served.client.post(SESSION, json={"login": "lihua", "password": PASSWORD})
    given = next(c.value for c in served.client.cookies.jar if c.value != fixed)
    assert given
    problem_of(await served.client.get(ME, headers={"Authorization": f"Bearer {fixed}"}), 401)


async def test_signing_in_again_ends_the_earlier_session(served: Served) -> None:
    await served.signed_in()
    earlier = {"Authorization": f"Bearer {served.client.cookies[COOKIE]}"}
    assert (await served.client.get(ME, headers=earlier)).status_code == 200
    await served.client.post(SESSION, json={"login": "lihua", "password": PASSWORD})
    problem_of(await served.client.get(ME, headers=earlier), 401)
    assert (await served.client.get(ME)).status_code == 200


async def test_signing_out_ends_the_session_and_drops_the_cookie(served: Served) -> None:
    csrf = await served.signed_in()
    token = served.client.cookies[COOKIE]
    answer = await served.client.delete(SESSION, headers=csrf)
    assert answer.status_code == 204
    assert COOKIE not in served.client.cookies
    problem_of(await served.client.get(ME, headers={"Cookie": f"{COOKIE}={token}"}), 401)


def signed_jwt(**claims: Any) -> str:
    """As a host app signs one for a borrower."""

    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    head, body = (part(json.dumps(d).encode()) for d in ({"alg": "HS256", "typ": "JWT"}, claims))
    signature = hmac.digest(b"k" * 32, f"{head}.{body}".encode(), hashlib.sha256)
    return f"{head}.{body}.{part(signature)}"


BORROWER = signed_jwt(sub="C1001", iss="host-app")


@pytest.mark.parametrize(
    "token",
    [
        "",
        "zxs_",
        "zxs_" + "A" * 43,
        "zxs_' OR '1'='1",
        "zxs_" + "x" * 6000,
        BORROWER,
        f"zxs_{BORROWER}",
        signed_jwt(sub="lihua", roles=["admin"]),
    ],
    ids=lambda token: token[:12] or "empty",
)
async def test_a_forged_token_is_nobody(served: Served, token: str) -> None:
    await add(served.trail)
    await session(served.trail)
    problem_of(await served.client.get(ME, headers={"Authorization": f"Bearer {token}"}), 401)
    problem_of(await served.client.get(ME, headers={"Cookie": f"{COOKIE}={token}"}), 401)


async def test_the_hash_of_a_token_is_no_token(served: Served) -> None:
    await served.signed_in()
    async with served.trail.engine.connect() as connection:
        kept = await connection.scalar(select(staff_sessions.c.token_hash))
    for token in (kept, f"zxs_{kept}"):
        problem_of(await served.client.get(ME, headers={"Authorization": f"Bearer {token}"}), 401)


async def test_a_borrowers_token_beside_a_staff_cookie_is_not_staff(served: Served) -> None:
    await served.signed_in("admin")
    assert (await served.client.get(ACCOUNTS)).status_code == 200
    bearer = {"Authorization": f"Bearer {BORROWER}"}
    problem_of(await served.client.get(ACCOUNTS, headers=bearer), 401)


@pytest.mark.parametrize("seen", ["last_seen_at", "expires_at"])
async def test_an_expired_session_is_nobody(served: Served, seen: str) -> None:
    await served.signed_in()
    past = datetime.now(UTC) - timedelta(minutes=31)
    async with served.trail.engine.begin() as connection:
        await connection.execute(update(staff_sessions).values({seen: past}))
    problem_of(await served.client.get(ME), 401)


async def test_a_disabled_account_is_out_at_once(served: Served) -> None:
    await served.signed_in()
    account = await staff.find_account(served.trail.engine, "lihua")
    # Not through set_disabled, which would have ended the session: the account itself must count.
    async with served.trail.engine.begin() as connection:
        await connection.execute(
            update(staff_table).where(staff_table.c.id == account.id).values(disabled=True)
        )
    problem_of(await served.client.get(ME), 401)


FORGED: dict[str, dict[str, str]] = {
    "no token": {"X-CSRF-Token": ""},
    "wrong token": {"X-CSRF-Token": "0" * 64},
    "token with other letters": {"X-CSRF-Token": "\u00e9" * 64},
    "page of another site": {"Sec-Fetch-Site": "cross-site"},
    "page of a sibling host": {"Sec-Fetch-Site": "same-site"},
    "other origin": {"Origin": "https://evil.example"},
    "other port": {"Origin": "http://localhost:9000"},
    "hidden origin": {"Origin": "null"},
}


@pytest.mark.parametrize("headers", FORGED.values(), ids=FORGED.keys())
async def test_a_request_that_another_page_could_send_changes_nothing(
    served: Served, headers: dict[str, str]
) -> None:
    csrf = await served.signed_in("admin")
    raw = [(name.encode(), value.encode()) for name, value in (csrf | headers).items()]
    new = {"login": "zhao", "name": "赵", "roles": ["agent"], "password": OTHER}
    answer = await served.client.post(ACCOUNTS, json=new, headers=raw)
    assert problem_of(answer, 403)["detail"] == notice("not_from_here", "zh-Hans")
    assert [a.login for a in await staff.list_accounts(served.trail.engine)] == ["lihua"]
    ours = csrf | {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    assert (await served.client.post(ACCOUNTS, json=new, headers=ours)).status_code == 201


async def test_the_token_of_another_session_does_not_count(served: Served) -> None:
    foreign = await served.signed_in("agent", login="zhao")
    served.client.cookies.clear()
    await served.signed_in("admin")
    problem_of(await served.client.delete(SESSION, headers=foreign), 403)


@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}], ids=str
)
async def test_nobody_is_signed_in_from_another_site(
    served: Served, headers: dict[str, str]
) -> None:
    await add(served.trail)
    credentials = {"login": "lihua", "password": PASSWORD}
    problem_of(await served.client.post(SESSION, json=credentials, headers=headers), 403)
    problem_of(await served.client.post(SESSION, data=credentials), 422)
    plain = {"Content-Type": "text/plain"}
    body = json.dumps(credentials)
    problem_of(await served.client.post(SESSION, content=body, headers=plain), 422)


@pytest.mark.parametrize(
    ("bound_to", "setting", "host", "taken"),
    [
        ("127.0.0.1", "", "127.0.0.1:8000", True),
        ("127.0.0.1", "", "LOCALHOST.", True),
        ("127.0.0.1", "", "[::1]:8000", True),
        ("127.0.0.1", "", "evil.example", False),
        ("127.0.0.1", "", "localhost.evil.example", False),
        ("127.0.0.1", "", "evil.example@localhost", False),
        ("127.0.0.1", "", "192.168.1.5:8000", False),
        ("127.0.0.1", "", "", False),
        ("127.0.0.1", "chat.lender.example, b.example", "chat.lender.example", True),
        ("127.0.0.1", "chat.lender.example", "evil.example", False),
        ("127.0.0.1", "*", "evil.example", True),
        ("192.168.1.5", "", "192.168.1.5:8000", True),
        ("0.0.0.0", "", "192.168.1.5:8000", True),
        ("0.0.0.0", "", "evil.example", False),
    ],
)
async def test_a_request_for_another_host_is_turned_away(
    tmp_path: Path, bound_to: str, setting: str, host: str, taken: bool
) -> None:
    async with (
        open_deps(settings_for(tmp_path, ZHUNXIN_ALLOWED_HOSTS=setting)) as deps,
        serving(deps, host=bound_to) as served,
    ):
        for path in ("/healthz", "/sign-in", "/web/tokens.css"):
            answer = await served.client.get(path, headers={"Host": host})
            if taken:
                assert answer.status_code == 200
            else:
                problem_of(answer, 421)


HUGE = "x" * 200_000


@pytest.mark.parametrize(
    ("login", "password", "status"),
    [
        ("lihua' --", PASSWORD, 401),
        ("'; DROP TABLE staff; --", "x", 401),
        ("lihua%00", PASSWORD, 401),
        ("lihua\x00", PASSWORD, 401),
        ("%", "%", 401),
        ("\ud83d", "\udc00", 422),
        ("\u202elihua", PASSWORD, 401),
        (HUGE, "x", 422),
        ("lihua", HUGE, 422),
        ("", "", 401),
        (["lihua"], PASSWORD, 422),
        ({"$ne": ""}, {"$ne": ""}, 422),
    ],
    ids=lambda value: str(value)[:20].encode("ascii", "replace").decode(),
)
async def test_strange_credentials_sign_nobody_in(
    served: Served, login: Any, password: Any, status: int
) -> None:
    await add(served.trail)
    answer = await served.client.post(
        SESSION,
        content=json.dumps({"login": login, "password": password}),
        headers={"Content-Type": "application/json"},
    )
    problem_of(answer, status)
    assert "set-cookie" not in answer.headers
    assert [a.login for a in await staff.list_accounts(served.trail.engine)] == ["lihua"]


async def test_a_pause_is_told_with_its_length(served: Served) -> None:
    wrong = {"login": "王芳", "password": OTHER}
    for _ in range(LOGIN_BUDGET.free):
        told = problem_of(await served.client.post(SESSION, json=wrong), 401)
        assert told["detail"] == notice("sign_in_failed", "zh-Hans")
    answer = await served.client.post(SESSION, json=wrong, headers={"Accept-Language": "en"})
    wait = answer.headers["retry-after"]
    assert problem_of(answer, 429)["detail"] == notice("sign_in_paused", "en", wait=wait)
    assert 25 <= int(wait) <= 30


async def test_sign_ins_a_minute_are_counted_apart_from_chat(tmp_path: Path) -> None:
    async with (
        open_deps(settings_for(tmp_path, ZHUNXIN_REQUESTS_PER_MINUTE="3")) as deps,
        serving(deps) as served,
    ):
        for number in range(3):
            wrong = {"login": f"nobody{number}", "password": OTHER}
            problem_of(await served.client.post(SESSION, json=wrong), 401)
        problem_of(await served.client.post(SESSION, json=wrong), 429)
        assert (await served.client.post("/v1/chat", json={"message": ""})).status_code == 422


async def test_staff_who_ask_as_borrowers_are_nobody_in_particular(deps: Deps) -> None:
    async with serving(deps) as served:
        login = f"asker{time.time_ns()}"
        csrf = await served.signed_in("admin", login=login)
        account = await staff.find_account(served.trail.engine, login)
        token = served.client.cookies[COOKIE]
        idle_since = datetime.now(UTC) - timedelta(minutes=10)
        async with served.trail.engine.begin() as connection:
            await connection.execute(
                update(staff_sessions)
                .where(staff_sessions.c.staff_id == account.id)
                .values(last_seen_at=idle_since)
            )
        replies = []
        for headers in (
            {},
            {"Cookie": f"{COOKIE}={token}", **csrf},
            {"Authorization": f"Bearer {token}"},
        ):
            async with served.other_client() as client:
                answer = await client.post(
                    "/v1/chat?stream=false", json={"message": EARLY}, headers=headers
                )
            assert answer.status_code == 200
            assert "set-cookie" not in answer.headers
            record = await read_record(served.trail.engine, answer.json()["record_id"])
            kept = json.dumps(record, default=str, ensure_ascii=False)
            assert account.id not in kept
            assert login not in kept
            assert token not in kept
            replies.append(answer.json())
        own = {"record_id", "conversation_id", "timings"}
        plain = [{k: v for k, v in reply.items() if k not in own} for reply in replies]
        assert plain[0] == plain[1] == plain[2]
        async with served.trail.engine.connect() as connection:
            seen = await connection.scalar(
                select(staff_sessions.c.last_seen_at).where(staff_sessions.c.staff_id == account.id)
            )
        assert seen is not None
        assert seen.replace(tzinfo=UTC) == idle_since, "the session was looked at"


# Accounts over HTTP


async def test_an_admin_keeps_the_accounts(served: Served) -> None:
    csrf = await served.signed_in("admin")
    new = {"login": "Zhao", "name": "赵 敏", "roles": ["auditor", "agent"], "password": OTHER}
    made = await served.client.post(ACCOUNTS, json=new, headers=csrf)
    assert made.status_code == 201
    assert "password" not in made.text
    assert (made.json()["login"], made.json()["roles"]) == ("zhao", ["agent", "auditor"])
    place = f"{ACCOUNTS}/{made.json()['id']}"
    changed = await served.client.patch(place, json={"roles": ["marketer"]}, headers=csrf)
    assert changed.json()["roles"] == ["marketer"]
    changed = await served.client.patch(place, json={"disabled": True}, headers=csrf)
    assert changed.json()["disabled"] is True
    assert "argon2" not in (await served.client.get(ACCOUNTS)).text
    by_login = {a["login"]: a for a in (await served.client.get(ACCOUNTS)).json()["accounts"]}
    assert set(by_login) == {"lihua", "zhao"}


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"login": "lihua"}, 422, "staff_login_taken"),
        ({"password": "short"}, 422, "staff_password_length"),
        ({"login": "a b"}, 422, "staff_bad_login"),
        ({"roles": []}, 422, "staff_bad_roles"),
        ({"roles": ["root"]}, 422, "bad_request"),
        ({"demo": True}, 422, "bad_request"),
    ],
    ids=str,
)
async def test_an_account_that_cannot_be_is_told_why(
    served: Served, change: dict[str, Any], status: int, code: str
) -> None:
    csrf = await served.signed_in("admin")
    new = {"login": "zhao", "name": "赵", "roles": ["agent"], "password": OTHER} | change
    answer = await served.client.post(ACCOUNTS, json=new, headers=csrf)
    values = {"login": "lihua", "least": "12", "most": "256", "roles": ", ".join(ROLES)}
    assert problem_of(answer, status)["detail"] == notice(code, "zh-Hans", **values)


async def test_an_admin_does_not_lock_oneself_out(served: Served) -> None:
    csrf = await served.signed_in("admin")
    place = f"{ACCOUNTS}/{(await served.client.get(ME)).json()['id']}"
    for change in ({"disabled": True}, {"roles": ["agent"]}):
        problem_of(await served.client.patch(place, json=change, headers=csrf), 422)
    assert (await served.client.get(ACCOUNTS)).status_code == 200
    unknown = f"{ACCOUNTS}/nobody"
    problem_of(await served.client.patch(unknown, json={"disabled": True}, headers=csrf), 404)


async def test_logs_tell_who_did_what_and_hold_no_secret(
    served: Served, log_lines: Callable[[], list[dict[str, Any]]]
) -> None:
    csrf = await served.signed_in("admin")
    token = served.client.cookies[COOKIE]
    admin = (await served.client.get(ME)).json()["id"]
    new = {"login": "zhao", "name": "赵", "roles": ["agent"], "password": OTHER}
    made = (await served.client.post(ACCOUNTS, json=new, headers=csrf)).json()
    place = f"{ACCOUNTS}/{made['id']}"
    again = "yet another phrase 9"
    for change in ({"password": again}, {"roles": ["auditor"]}, {"disabled": True}):
        await served.client.patch(place, json=change, headers=csrf)
    typed = "password in the wrong field"
    for _ in range(LOGIN_BUDGET.free + 1):
        await served.client.post(SESSION, json={"login": typed, "password": "mistyped words"})
    await served.client.post(SESSION, json={"login": "zhao", "password": "mistyped words"})
    lines = log_lines()
    told = [line["event"] for line in lines]
    for event in (
        "staff signed in",
        "staff account created",
        "staff password reset",
        "staff roles changed",
        "staff account disabled",
        "staff sign-in failed",
        "staff sign-in locked for a while",
        "staff sign-in paused",
    ):
        assert event in told, event
    assert {line["by"] for line in lines if line.get("staff") == made["id"] and "by" in line} == {
        admin
    }
    text = json.dumps(lines, ensure_ascii=False)
    for secret in (PASSWORD, OTHER, again, typed, "mistyped", "zxs_", token, *csrf.values()):
        assert secret not in text, secret


# Demo accounts


async def test_demo_accounts_sign_in_only_while_the_server_runs_as_a_demo(own: Deps) -> None:
    credentials = {}
    async with serving(own, demo=True) as served:
        listed = (await served.client.get("/v1/staff/demo")).json()
        assert [a["roles"] for a in listed["accounts"]] == [[role] for role in ROLES]
        credentials = {"login": "demo-admin", "password": listed["password"]}
        async with served.other_client(address="198.51.100.9") as outside:
            nothing = (await outside.get("/v1/staff/demo")).json()
            assert nothing == {"accounts": [], "password": ""}
            problem_of(await outside.post(SESSION, json=credentials), 401)
        assert (await served.client.post(SESSION, json=credentials)).status_code == 200
        token = served.client.cookies[COOKIE]
    async with serving(own) as served:
        assert (await served.client.get("/v1/staff/demo")).json()["accounts"] == []
        problem_of(await served.client.post(SESSION, json=credentials), 401)
        problem_of(await served.client.get(ME, headers={"Cookie": f"{COOKIE}={token}"}), 401)


async def test_a_demo_admin_opens_no_way_in_that_outlives_the_demo(own: Deps) -> None:
    real = await add(own.trail, "lihua", "agent")
    new = {"login": "wangwu", "name": "王五", "roles": ["admin"], "password": PASSWORD}
    async with serving(own, demo=True) as served:
        password = (await served.client.get("/v1/staff/demo")).json()["password"]
        opened = await served.client.post(
            SESSION, json={"login": "demo-admin", "password": password}
        )
        served.client.headers[CSRF_HEADER] = opened.json()["csrf_token"]
        made = await served.client.post("/v1/staff/accounts", json=new)
        assert (made.status_code, made.json()["demo"]) == (201, True)
        changes: list[dict[str, Any]] = [
            {"password": PASSWORD + "x"}, {"roles": ["admin"]}, {"disabled": True},
        ]  # fmt: skip
        for change in changes:
            changed = await served.client.patch(f"/v1/staff/accounts/{real.id}", json=change)
            problem_of(changed, 403)
        its_own = await served.client.patch(
            f"/v1/staff/accounts/{made.json()['id']}", json={"disabled": False}
        )
        assert its_own.status_code == 200
    assert await enter(own.trail, "wangwu") == Denied()
    assert isinstance(await enter(own.trail, "lihua"), SignedIn)


async def test_a_real_account_with_a_demo_login_is_left_alone(trail: Trail) -> None:
    real = await add(trail, "demo-admin", "agent")
    demo = await staff.open_demo_accounts(trail)
    assert real.id not in {account.id for account in demo.accounts}
    assert (await staff.find_account(trail.engine, "demo-admin")).roles == ("agent",)
    assert await enter(trail, "demo-admin", demo.password) == Denied()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_the_demo_is_served_on_loopback(host: str) -> None:
    hold_to_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "demo.example", "", "127.1"])
def test_the_demo_is_served_nowhere_else(host: str) -> None:
    with pytest.raises(NotOnLoopback, match="loopback"):
        hold_to_loopback(host)


# The command line


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Ran]:
    def invoke(*args: str, given: str = "") -> Ran:
        environ = {"ZHUNXIN_HOME": str(tmp_path / "home"), "ZHUNXIN_LLM": "extractive"}
        result = CliRunner().invoke(command_line, list(args), input=given, env=environ)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ran(result.exit_code, result.stdout, result.stderr)

    return invoke


def test_accounts_are_kept_from_the_command_line(run: Callable[..., Ran]) -> None:
    ran = run(
        *("staff", "add", "LiHua", "--name", "李华", "--role", "agent", "--role", "auditor"),
        "--password-stdin",
        given=f"{PASSWORD}\n",
    )
    assert (ran.code, ran.out) == (0, "account lihua: agent, auditor\n")
    assert PASSWORD not in ran.err
    assert run("staff", "roles", "lihua", "--role", "marketer,agent").code == 0
    assert run("staff", "disable", "lihua").code == 0
    (account,) = json.loads(run("staff", "list", "--json").out)
    assert (account["login"], account["name"]) == ("lihua", "李华")
    assert account["roles"] == ["agent", "marketer"]
    assert account["disabled"] is True
    assert "password" not in json.dumps(account)
    assert "disabled" in run("staff", "list").out
    assert run("staff", "disable", "lihua", "--undo").code == 0
    assert run("staff", "password", "lihua", "--password-stdin", given=OTHER).code == 0
    assert "disabled" not in run("staff", "list").out


ADD = ("staff", "add", "lihua", "--role")


@pytest.mark.parametrize(
    ("args", "given", "said"),
    [
        ((*ADD, "agent", "--password-stdin"), "short", "12"),
        ((*ADD, "root", "--password-stdin"), PASSWORD, "compliance"),
        ((*ADD, "agent"), "", "--password-stdin"),
        (("staff", "disable", "nobody"), "", "no such account"),
        (("staff", "roles", "nobody", "--role", "agent"), "", "no such account"),
        (("staff", "password", "nobody", "--password-stdin"), PASSWORD, "no such account"),
        (("serve", "--demo", "--host", "0.0.0.0"), "", "loopback"),
        (("demo", "--host", "192.168.1.5"), "", "loopback"),
    ],
    ids=str,
)
def test_a_wrong_call_is_told_and_exits_2(
    run: Callable[..., Ran], args: tuple[str, ...], given: str, said: str
) -> None:
    ran = run(*args, given=given)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert "Traceback" not in ran.err


# The page


def words(locale: str) -> dict[str, str]:
    loaded: dict[str, str] = json.loads((WEB / f"sign-in.{locale}.json").read_text("utf-8"))
    return loaded


def test_the_page_says_the_same_in_every_language() -> None:
    chinese = words("zh-Hans")
    for locale in ("zh-Hant", "en"):
        other = words(locale)
        assert list(other) == list(chinese)
        for key, text in other.items():
            assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", chinese[key]))
    assert {f"role.{role}" for role in ROLES} <= set(chinese)
    page, code = ((WEB / name).read_text("utf-8") for name in ("sign-in.html", "sign-in.js"))
    named = re.findall(r'data-(?:say|label)="([\w.]+)"', page)
    named += re.findall(r'\bt\("([\w.]+)"', code)
    assert set(named) <= set(chinese)
    pages = {
        path
        for (_, path), access in ACCESS.items()
        if not path.startswith("/v1/") and isinstance(access, frozenset)
    }
    assert {f"page.{path[1:]}" for path in pages} <= set(chinese)


@dataclass(frozen=True)
class Site:
    url: str
    browser: Browser

    def open(self, path: str, width: int = 1366, **options: Any) -> Page:
        context = self.browser.new_context(
            viewport={"width": width, "height": 768}, locale="zh-CN", **options
        )
        page = context.new_page()
        page.goto(f"{self.url}{path}")
        return page


@pytest.fixture(scope="module")
def site(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A demo server without knowledge, and one real account."""
    settings = settings_for(tmp_path_factory.mktemp("site"))

    async def prepare() -> None:
        async with open_deps(settings) as deps:
            await add(deps.trail, "lihua", "compliance")

    with start_blocking_portal() as portal:
        portal.call(prepare)
        app = create_app(settings, demo=True)
        with portal.wrap_async_context_manager(listening(app)) as url:
            yield Site(url, browser)


@pytest.mark.browser
def test_one_signs_in_with_the_keyboard_and_is_told_of_a_mistake(site: Site) -> None:
    page = site.open("/knowledge?view=diff")
    expect(page.locator("#login")).to_be_focused()
    page.keyboard.press("Enter")
    alert = page.get_by_role("alert")
    expect(alert).to_have_text(words("zh-Hans")["login.missing"])
    page.keyboard.type("lihua")
    page.keyboard.press("Tab")
    page.keyboard.type("not this one")
    page.keyboard.press("Enter")
    expect(alert).to_have_text(notice("sign_in_failed", "zh-Hans"))
    field = page.get_by_label(words("zh-Hans")["password"], exact=True)
    expect(field).to_be_focused()
    expect(field).to_have_attribute("aria-describedby", "error")
    assert "not this one" not in page.url
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{site.url}/knowledge?view=diff")
    assert page.evaluate("document.cookie") == "", "scripts cannot read the session"
    page.goto(f"{site.url}/sign-in")
    expect(page.locator("#pages a")).to_have_text(
        [words("zh-Hans")[f"page.{name}"] for name in ("knowledge", "check", "quality", "studio")]
    )
    page.context.close()


@pytest.mark.browser
@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example/",
        "/%09/evil.example/",
        "/.//evil.example/",
        "javascript:alert(1)",
        "/sign-in",
        "/v1/staff/accounts",
        "/knowledge-not",
    ],
)
def test_no_link_leads_away_after_signing_in(site: Site, target: str) -> None:
    page = site.open(f"/sign-in?next={target}")
    page.locator("#demo button", has_text="demo-compliance").click()
    shown = page.locator("#signed-in, body:not(:has(#signed-in))").first
    expect(shown).to_be_visible()
    page.wait_for_timeout(300)
    assert page.url.startswith(f"{site.url}/")
    assert page.url.split("?")[0] in (f"{site.url}/sign-in", f"{site.url}/knowledge")
    page.context.close()


@pytest.mark.browser
def test_a_page_for_other_roles_is_told_and_another_account_can_be_taken(site: Site) -> None:
    page = site.open("/sign-in?next=/no-such-page")
    page.locator("#demo button", has_text="demo-agent").click()
    expect(page.get_by_role("alert")).to_have_text(words("zh-Hans")["role.missing"])
    expect(page.locator("#heading")).to_be_focused()
    expect(page.locator("#who")).to_contain_text("demo-agent")
    page.locator("#sign-out").click()
    expect(page.locator("#form")).to_be_visible()
    assert page.context.cookies() == []
    page.context.close()


@pytest.mark.browser
@pytest.mark.parametrize("width", [320, 390, 1366])
def test_the_page_fits_and_speaks_the_language_chosen(site: Site, width: int) -> None:
    page = site.open("/sign-in", width)
    page.locator("#demo").wait_for()
    for locale in ("en", "zh-Hant"):
        page.locator(f"[data-locale={locale}]").click()
        expect(page.locator("#heading")).to_have_text(words(locale)["heading"])
        expect(page.locator("html")).to_have_attribute("lang", locale)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width
    for box in page.locator("button:visible, input:visible").all():
        size = box.bounding_box()
        assert size is not None
        assert size["height"] >= 44
        assert size["width"] >= 44
    page.context.close()
