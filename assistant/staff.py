"""Staff accounts: passwords, roles, signing in, sessions and what slows down guessing."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import secrets
import tomllib
import unicodedata
import uuid
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import structlog
from sqlalchemy import delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from . import audit
from .audit import Keys, Trail
from .db import as_utc, sign_in_failures, staff, staff_sessions

if TYPE_CHECKING:
    from pwdlib import PasswordHash
    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

Role = Literal["agent", "supervisor", "marketer", "compliance", "admin", "auditor"]
ROLES: tuple[Role, ...] = get_args(Role)

TOKEN_PREFIX = "zxs_"
"""What every session token starts with, so that no other token is ever looked up as one."""
PASSWORD_MIN = 12
PASSWORD_MAX = 256
NAME_MAX = 64
LOGIN = re.compile(r"[a-z0-9\u4e00-\u9fff][a-z0-9\u4e00-\u9fff._@-]{1,63}")
"""ASCII and Han only: letters of other scripts that look like these could pass for them."""
HASHED_AT_ONCE = 2
"""Passwords hashed at the same time; each takes 64 MiB."""
SEEN_EVERY = timedelta(minutes=1)
"""How exactly the last use of a session is kept: each request would otherwise write."""
UPSERTS: Mapping[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Budget:
    """How many failures of one login, or from one address, go without a pause."""

    free: int
    forgotten_after: timedelta
    """Without any failure."""
    first_pause: timedelta = timedelta(seconds=30)
    longest_pause: timedelta = timedelta(minutes=15)

    def pause(self, failures: int) -> timedelta:
        """How long to wait after so many failures: doubled by each."""
        if failures < self.free:
            return timedelta(0)
        doubled: int = 2 ** min(failures - self.free, 20)
        return min(self.longest_pause, self.first_pause * doubled)


LOGIN_BUDGET = Budget(free=5, forgotten_after=timedelta(hours=24))
ADDRESS_BUDGET = Budget(free=50, forgotten_after=timedelta(hours=1))
"""Far more than for a login: a whole office may share an address."""


@dataclass(frozen=True, slots=True)
class SessionRules:
    """How long a session lasts, and whether demo accounts may have one."""

    idle: timedelta
    longest: timedelta
    demo: bool = False


@dataclass(frozen=True, slots=True)
class Account:
    id: str
    login: str
    name: str
    roles: tuple[Role, ...]
    demo: bool
    disabled: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Signed:
    """The member of staff on whose behalf a request is made."""

    staff_id: str
    login: str
    name: str
    roles: frozenset[Role]
    demo: bool
    expires_at: datetime
    """At the latest; without use earlier."""
    csrf_token: str = field(repr=False)
    """To be sent in a header by pages, whose session travels in a cookie."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    signed: Signed
    token: str = field(repr=False)
    """Known to the client alone: only its hash is stored."""


@dataclass(frozen=True, slots=True)
class Denied:
    """Nobody was signed in; whether the login exists is not told."""

    wait_s: int = 0
    """Above 0: too many failures, and nothing was looked at."""


class BadAccount(Exception):
    """An account cannot be made or changed so; `code` names a notice, `values` fill it."""

    def __init__(self, code: str, **values: str) -> None:
        super().__init__(code)
        self.code = code
        self.values = values


# Accounts


async def create_account(
    trail: Trail,
    login: str,
    name: str,
    roles: Collection[str],
    password: str,
    *,
    demo: bool = False,
    by: str = "",
) -> Account:
    """A new account, entered in the chain. by: who makes it. Raises BadAccount."""
    known = normal_login(login)
    if known is None:
        raise BadAccount("staff_bad_login")
    name = " ".join(name.split())
    if not 1 <= len(name) <= NAME_MAX or not name.isprintable():
        raise BadAccount("staff_bad_name", limit=str(NAME_MAX))
    held = _known_roles(roles)
    check_password(password, known)
    account = Account(uuid.uuid4().hex, known, name, held, demo, False, datetime.now(UTC))
    password_hash = await _hash(password)
    try:
        async with audit.transaction(trail) as connection:
            await connection.execute(
                insert(staff).values(
                    id=account.id,
                    login=known,
                    name=name,
                    password_hash=password_hash,
                    roles=list(held),
                    demo=demo,
                    disabled=False,
                    created_at=account.created_at,
                )
            )
            entry = await audit.seal_account(connection, trail.keys, account.id, "created", by=by)
    except IntegrityError:
        raise BadAccount("staff_login_taken", login=known) from None
    await audit.note_head(trail, entry)
    log.info("staff account created", staff=account.id, login=known, roles=held, by=by)
    return account


async def list_accounts(engine: AsyncEngine) -> list[Account]:
    """All accounts by login."""
    async with engine.connect() as connection:
        rows = await connection.execute(select(staff).order_by(staff.c.login))
        return [_account(row) for row in rows]


async def find_account(engine: AsyncEngine, login: str) -> Account:
    """The account of a login. Raises BadAccount."""
    async with engine.connect() as connection:
        row = await _by_login(connection, login)
    if row is None:
        raise BadAccount("staff_unknown_login")
    return _account(row)


async def read_account(engine: AsyncEngine, staff_id: str) -> Account:
    """Raises BadAccount."""
    async with engine.connect() as connection:
        row = (await connection.execute(select(staff).where(staff.c.id == staff_id))).one_or_none()
    if row is None:
        raise BadAccount("staff_unknown_login")
    return _account(row)


async def set_disabled(trail: Trail, staff_id: str, disabled: bool, *, by: str = "") -> None:
    """Close an account, which ends its sessions, or open it again. Raises BadAccount."""
    action = "disabled" if disabled else "enabled"
    await _change(trail, staff_id, {"disabled": disabled}, action, by)
    log.info(f"staff account {action}", staff=staff_id, by=by)


async def set_roles(trail: Trail, staff_id: str, roles: Collection[str], *, by: str = "") -> None:
    """Give an account these roles and no others; its sessions end. Raises BadAccount."""
    held = _known_roles(roles)
    await _change(trail, staff_id, {"roles": list(held)}, "roles", by)
    log.info("staff roles changed", staff=staff_id, roles=held, by=by)


async def reset_password(trail: Trail, staff_id: str, password: str, *, by: str = "") -> None:
    """Give an account a new password; its sessions and its pause end. Raises BadAccount."""
    async with trail.engine.connect() as connection:
        login = await connection.scalar(select(staff.c.login).where(staff.c.id == staff_id))
    if login is None:
        raise BadAccount("staff_unknown_login")
    check_password(password, login)
    await _change(trail, staff_id, {"password_hash": await _hash(password)}, "password", by)
    async with audit.transaction(trail) as connection:
        await connection.execute(
            delete(sign_in_failures).where(sign_in_failures.c.subject == _subject("login", login))
        )
    log.info("staff password reset", staff=staff_id, by=by)


def check_password(password: str, login: str) -> None:
    """Raises BadAccount for a password that is short, common or the login."""
    plain = unicodedata.normalize("NFKC", password).casefold()
    if not PASSWORD_MIN <= len(password) <= PASSWORD_MAX:
        raise BadAccount("staff_password_length", least=str(PASSWORD_MIN), most=str(PASSWORD_MAX))
    if len(plain.replace(login, "")) < PASSWORD_MIN - 4 and login in plain:
        raise BadAccount("staff_password_login")
    if plain in _data()["common_passwords"] or len(set(plain)) < 5:
        raise BadAccount("staff_password_common")


def normal_login(text: str) -> str | None:
    """A login as it is stored: full width, case and blanks around it do not matter; None for what
    can be none."""
    login = unicodedata.normalize("NFKC", text).strip().casefold()
    return login if LOGIN.fullmatch(login) else None


# Demo accounts


@dataclass(frozen=True, slots=True)
class DemoAccounts:
    """One account a role, and the password of all, which is no secret."""

    accounts: tuple[Account, ...]
    password: str


async def open_demo_accounts(trail: Trail) -> DemoAccounts:
    """The demo accounts, made where they are missing. A login that a real account has is left out.

    They can sign in only where `SessionRules.demo` says so.
    """
    password: str = _data()["demo"]["password"]
    accounts = []
    for row in _data()["demo"]["accounts"]:
        try:
            account = await find_account(trail.engine, row["login"])
        except BadAccount:
            account = await create_account(
                trail, row["login"], row["name"], [row["role"]], password, demo=True, by="demo"
            )
        if account.demo:
            accounts.append(account)
    return DemoAccounts(tuple(accounts), password)


# Signing in


async def sign_in(
    trail: Trail,
    login: str,
    password: str,
    rules: SessionRules,
    *,
    address: str,
    now: datetime | None = None,
) -> SignedIn | Denied:
    """A new session, or Denied for whatever reason: an unknown login goes the way of a known one.

    The attempt is counted as a failure before the password is looked at and taken back after it
    was right, so that many attempts at the same moment are no way around the pause. Failures that
    lead to a pause are entered in the chain: how many of which account, or of an address, and not
    of which.
    """
    engine = trail.engine
    now = now or datetime.now(UTC)
    known = normal_login(login)
    subjects = {
        _subject("address", address): ADDRESS_BUDGET,
        _subject("login", known or login): LOGIN_BUDGET,
    }
    paused_until, counted = await _count_attempt(engine, subjects, now)
    if paused_until is not None:
        log.warning("staff sign-in paused", address=address)
        return Denied(wait_s=max(1, round((paused_until - now).total_seconds())))
    async with engine.connect() as connection:
        row = await _by_login(connection, login)
    right = await _verify(password, row.password_hash if row else None)
    signed_in = None
    if row and right and not row.disabled and (rules.demo or not row.demo):
        signed_in = await _open_session(trail, row, rules, now)
    if row is None or signed_in is None:
        reason = "unknown login" if row is None else "account closed" if right else "wrong password"
        who = {} if row is None else {"staff": row.id, "login": row.login}
        log.warning("staff sign-in failed", reason=reason, address=address, **who)
        address_subject, login_subject = subjects
        if ADDRESS_BUDGET.pause(counted[address_subject]):
            body = {"action": "paused", "of": "address", "failures": counted[address_subject]}
            await audit.append(trail, "sign_in", "", body)
        if LOGIN_BUDGET.pause(counted[login_subject]):
            # Of a login that nobody has too: the time that it takes would tell which there are.
            body = {"action": "paused", "of": "account", "failures": counted[login_subject]}
            await audit.append(trail, "sign_in", "" if row is None else row.id, body)
        if any(budget.pause(counted[subject]) for subject, budget in subjects.items()):
            log.warning("staff sign-in locked for a while", address=address, **who)
        return Denied()
    await _take_back(engine, subjects)
    log.info("staff signed in", staff=row.id, login=row.login, address=address)
    return signed_in


async def session_of(
    trail: Trail,
    token: str,
    rules: SessionRules,
    *,
    now: datetime | None = None,
    used: bool = True,
) -> Signed | None:
    """Who a session token stands for; None where it is unknown, expired, idle or closed, or where
    the account is not as the audit chain holds it.

    used: whether this is a use of the session, which keeps it from being idle.
    """
    now = now or datetime.now(UTC)
    if not token.startswith(TOKEN_PREFIX) or len(token) > 128:
        return None
    token_hash = _token_hash(trail.keys, token)
    async with trail.engine.connect() as connection:
        found = await connection.execute(
            select(staff_sessions.c.last_seen_at, staff_sessions.c.expires_at, staff)
            .join(staff, staff.c.id == staff_sessions.c.staff_id)
            .where(staff_sessions.c.token_hash == token_hash)
        )
        row = found.one_or_none()
        # A row that was turned to another account is no session of that one.
        if row is None or row.id != token.removeprefix(TOKEN_PREFIX).partition("_")[0]:
            return None
        if not await _is_as_entered(connection, trail, row):
            return None
    if row.disabled or (row.demo and not rules.demo):
        return None
    seen, expires = as_utc(row.last_seen_at), as_utc(row.expires_at)
    if now >= expires or now >= seen + rules.idle:
        return None
    if used and now - seen >= min(SEEN_EVERY, rules.idle / 4):
        async with trail.engine.begin() as connection:
            await connection.execute(
                update(staff_sessions)
                .where(staff_sessions.c.token_hash == token_hash)
                .values(last_seen_at=now)
            )
    return _signed(row, token, expires)


async def present(
    engine: AsyncEngine, rules: SessionRules, now: datetime | None = None
) -> list[Account]:
    """The accounts that are signed in somewhere."""
    now = now or datetime.now(UTC)
    sessions = select(staff_sessions.c.staff_id).where(
        staff_sessions.c.expires_at > now, staff_sessions.c.last_seen_at > now - rules.idle
    )
    query = select(staff).where(staff.c.id.in_(sessions), staff.c.disabled.is_(False))
    async with engine.connect() as connection:
        accounts = [_account(row) for row in await connection.execute(query)]
    return [each for each in accounts if rules.demo or not each.demo]


async def sign_out(trail: Trail, token: str) -> None:
    """End a session; nothing happens where there is none."""
    held = staff_sessions.c.token_hash == _token_hash(trail.keys, token)
    async with trail.engine.begin() as connection:
        await connection.execute(delete(staff_sessions).where(held))


async def _open_session(
    trail: Trail, row: Row[Any], rules: SessionRules, now: datetime
) -> SignedIn | None:
    token = f"{TOKEN_PREFIX}{row.id}_{secrets.token_urlsafe(32)}"
    expires = now + rules.longest
    async with trail.engine.begin() as connection:
        await connection.execute(
            delete(staff_sessions).where(
                (staff_sessions.c.expires_at <= now)
                | (staff_sessions.c.last_seen_at <= now - rules.idle)
            )
        )
        await connection.execute(
            insert(staff_sessions).values(
                token_hash=_token_hash(trail.keys, token),
                staff_id=row.id,
                created_at=now,
                last_seen_at=now,
                expires_at=expires,
            )
        )
        # Read again under the lock of this transaction: a password reset, or a closing, that came
        # while the old password was verified must not leave this session behind.
        held = await connection.execute(
            select(staff.c.password_hash, staff.c.disabled)
            .where(staff.c.id == row.id)
            .with_for_update()
        )
        current = held.one()
        same = not current.disabled and current.password_hash == row.password_hash
        if not same or not await _is_as_entered(connection, trail, row, later=True):
            await connection.rollback()
            return None
    return SignedIn(_signed(row, token, expires), token)


async def _is_as_entered(
    connection: AsyncConnection, trail: Trail, row: Row[Any], *, later: bool = False
) -> bool:
    """Whether nobody who can only write to the database gave an account a role or a password.

    later: whether to look, too, if later rows of the chain are missing, which may have closed it or
    taken a role from it: they are counted, which is too much for each request.
    """
    told = await audit.account_as_entered(connection, trail.keys, row.id)
    # What was read before must be it too: it may have been put back since.
    names = ("roles", "disabled", "demo")
    same = (
        told is not None
        and all(told[name] == row._mapping[name] for name in names)
        and not await audit.tail_gone(connection, trail.writer)
        and not (later and not await audit.whole_after(connection, told["seq"]))
    )
    if not same:
        log.error("a staff account is not as the audit chain holds it", staff=row.id)
    return same


async def _count_attempt(
    engine: AsyncEngine, subjects: Mapping[str, Budget], now: datetime
) -> tuple[datetime | None, dict[str, int]]:
    """(end of the pause that is on, failures a subject with this one); nothing is counted during
    a pause."""
    upsert = UPSERTS[engine.dialect.name]
    table = sign_in_failures
    counted: dict[str, int] = {}
    async with engine.begin() as connection:
        for subject, budget in subjects.items():
            forgotten = now - budget.forgotten_after
            await connection.execute(
                delete(table).where(table.c.subject == subject, table.c.last_at <= forgotten)
            )
            first = upsert(table).values(subject=subject, failures=1, last_at=now)
            again = first.on_conflict_do_update(
                index_elements=[table.c.subject],
                set_={"failures": table.c.failures + 1, "last_at": now},
                where=(table.c.locked_until.is_(None)) | (table.c.locked_until <= now),
            )
            failures = await connection.scalar(again.returning(table.c.failures))
            if failures is None:
                until = await connection.scalar(
                    select(table.c.locked_until).where(table.c.subject == subject)
                )
                await connection.rollback()
                return as_utc(until) if until else now, {}
            counted[subject] = failures
            pause = budget.pause(failures)
            await connection.execute(
                update(table)
                .where(table.c.subject == subject)
                .values(locked_until=now + pause if pause else None)
            )
        oldest = now - max(budget.forgotten_after for budget in subjects.values())
        await connection.execute(delete(table).where(table.c.last_at <= oldest))
    return None, counted


async def _take_back(engine: AsyncEngine, subjects: Mapping[str, Budget]) -> None:
    """After a right password: the login starts anew, the address only loses this attempt, or one
    known account would be enough to guess at all others without a pause."""
    table = sign_in_failures
    address, login = subjects
    async with engine.begin() as connection:
        await connection.execute(
            update(table)
            .where(table.c.subject == address)
            .values(failures=table.c.failures - 1, locked_until=None)
        )
        await connection.execute(delete(table).where(table.c.subject == login))


async def _change(
    trail: Trail, staff_id: str, values: dict[str, Any], action: str, by: str
) -> None:
    """Change an account, then end its sessions: in this order, see `_open_session`."""
    async with audit.transaction(trail) as connection:
        changed = await connection.execute(
            update(staff).where(staff.c.id == staff_id).values(**values)
        )
        if not changed.rowcount:
            raise BadAccount("staff_unknown_login")
        await connection.execute(
            delete(staff_sessions).where(staff_sessions.c.staff_id == staff_id)
        )
        entry = await audit.seal_account(connection, trail.keys, staff_id, action, by=by)
    await audit.note_head(trail, entry)


async def _by_login(connection: AsyncConnection, login: str) -> Row[Any] | None:
    # What can be no login is looked for all the same: as one that nobody can have.
    found = await connection.execute(
        select(staff).where(staff.c.login == (normal_login(login) or ""))
    )
    return found.one_or_none()


def _known_roles(roles: Collection[str]) -> tuple[Role, ...]:
    unknown = sorted(set(roles) - set(ROLES))
    if unknown or not roles:
        raise BadAccount("staff_bad_roles", roles=", ".join(ROLES))
    return tuple(role for role in ROLES if role in roles)


def _account(row: Row[Any]) -> Account:
    return Account(
        id=row.id,
        login=row.login,
        name=row.name,
        roles=tuple(role for role in ROLES if role in row.roles),
        demo=row.demo,
        disabled=row.disabled,
        created_at=as_utc(row.created_at),
    )


def _signed(row: Row[Any], token: str, expires: datetime) -> Signed:
    return Signed(
        staff_id=row.id,
        login=row.login,
        name=row.name,
        roles=frozenset(_account(row).roles),
        demo=row.demo,
        expires_at=expires,
        csrf_token=hashlib.sha256(f"csrf:{token}".encode()).hexdigest(),
    )


def _token_hash(keys: Keys, token: str) -> str:
    """Made with a key that is not in the database: who can only write there makes no session."""
    message = b"zhunxin session\0" + token.encode("utf-8", "surrogatepass")
    return hmac.new(keys.by_id[keys.current], message, hashlib.sha256).hexdigest()


def _subject(kind: str, text: str) -> str:
    return hashlib.sha256(f"{kind}:{text}".encode("utf-8", "surrogatepass")).hexdigest()


# Passwords


async def _hash(password: str) -> str:
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_threads(), lambda: _hasher()[0].hash(_bytes(password)))


async def _verify(password: str, password_hash: str | None) -> bool:
    """Whether the password is the one hashed; without a hash, no, in the same time."""

    def verify() -> bool:
        hasher, decoy = _hasher()
        right = hasher.verify(_bytes(password), password_hash or decoy)
        return right and password_hash is not None

    return await asyncio.get_running_loop().run_in_executor(_threads(), verify)


def _bytes(password: str) -> bytes:
    """The same for every keyboard that writes it; half a surrogate pair is taken as it is."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(HASHED_AT_ONCE, "passwords")


@cache
def _hasher() -> tuple[PasswordHash, str]:
    """(argon2, a hash that no password is known for)."""
    from pwdlib import PasswordHash

    hasher = PasswordHash.recommended()
    return hasher, hasher.hash(secrets.token_bytes(32))


@cache
def _data() -> Mapping[str, Any]:
    """Common passwords and demo accounts."""
    return tomllib.loads(Path(__file__).with_name("staff.toml").read_text(encoding="utf-8"))
