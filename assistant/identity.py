"""Who a borrower is: tokens that the host app signs for its signed-in customers.

The algorithm, the keys, issuer and audience are those of the settings; nothing that a token says of
itself chooses them. A token that does not prove who presents it is refused, never read as somebody
without an account, and never logged.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

import httpx
import jwt
import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import delete, insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from .audit import Keys
from .db import used_tokens

Algorithm = Literal["HS256", "RS256", "PS256", "ES256", "EdDSA"]
ALGORITHMS: tuple[Algorithm, ...] = get_args(Algorithm)

Reason = Literal["oversized", "malformed", "unknown_key", "refused", "long_lived", "replayed"]
"""Why a token is refused, for the log; who presents it is told no reason."""

MOST_TOKEN_CHARS = 4096
MOST_JWKS_BYTES = 256 * 1024
LEAST_SECRET_CHARS = 32
JWKS_KEPT_S = 300.0
"""How long a key set is used before it is read again, so that a withdrawn key goes."""
JWKS_AGAIN_S = 15.0
"""Least time between two readings: tokens that name made-up keys must not cause one each."""
JWKS_TIMEOUT_S = 3.0
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

_CUSTOMER_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._:@|-]{0,127}")

log = structlog.get_logger()


class KeysUnavailable(Exception):
    """The host app's keys cannot be read now, so that no token can be judged."""


class BadTokenSettings(Exception):
    """Keys or rules of borrower tokens are wrong; the message says what is expected."""


@dataclass(frozen=True, slots=True)
class Borrower:
    """A customer who proved who they are."""

    customer_id: str = field(repr=False)
    expires_at: datetime
    contract_date: date | None = None
    """Of the contract that the host app says the conversation is about."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A token that proves nobody's identity."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What a token has to be like."""

    algorithm: Algorithm
    issuer: str
    audience: str
    longest: timedelta
    """From now until it expires, at most."""
    leeway: timedelta = timedelta(seconds=10)
    """By how much the clocks of host app and assistant may differ."""
    once: bool = False
    """Whether each token has a `jti` and is good for one request."""


class Secrets:
    """Keys of HS256; several while one is being replaced."""

    def __init__(self, given: Sequence[str]) -> None:
        """Raises BadTokenSettings."""
        if not given or any(len(secret) < LEAST_SECRET_CHARS for secret in given):
            raise BadTokenSettings(f"expected at least {LEAST_SECRET_CHARS} characters")
        self._keys = [secret.encode() for secret in given]

    async def keys(self, kid: str | None) -> list[Any]:
        """All of them: a secret has no name."""
        return list(self._keys)


class KeySet:
    """Public keys of a JWKS file or address, read again at intervals and for an unknown key."""

    def __init__(
        self,
        place: str,
        algorithm: Algorithm,
        *,
        kept_s: float = JWKS_KEPT_S,
        again_s: float = JWKS_AGAIN_S,
    ) -> None:
        """Raises BadTokenSettings for an address that others on the way could answer for."""
        address = urlsplit(place)
        self._is_address = address.scheme in ("http", "https")
        if address.scheme == "http" and address.hostname not in LOOPBACK:
            raise BadTokenSettings("expected a file or an https address")
        self._place = place
        self._algorithm = algorithm
        self._kept_s = kept_s
        self._again_s = again_s
        self._known: dict[str | None, Any] = {}
        self._read_at = -float("inf")
        self._tried_at = -float("inf")
        self._lock = asyncio.Lock()

    async def keys(self, kid: str | None) -> list[Any]:
        """The key of that name; without a name, the only key there is. Raises KeysUnavailable."""
        async with self._lock:
            now = time.monotonic()
            stale = now - self._read_at >= self._kept_s
            unknown = kid is not None and kid not in self._known
            if (stale or unknown) and now - self._tried_at >= self._again_s:
                self._tried_at = now
                await self._read()
            if time.monotonic() - self._read_at >= 2 * self._kept_s:
                raise KeysUnavailable
        if kid is None:
            return list(self._known.values()) if len(self._known) == 1 else []
        return [self._known[kid]] if kid in self._known else []

    async def _read(self) -> None:
        """The set as it is now; what was known stays where it cannot be read."""
        try:
            found = json.loads(await self._fetched())["keys"]
            known = {}
            for entry in found:
                key = _public_key(entry, self._algorithm)
                if key is not None:
                    known[key.key_id] = key
        except (OSError, httpx.HTTPError, ValueError, KeyError, TypeError, RecursionError) as error:
            log.error("the key set of the host app cannot be read", error=type(error).__name__)
            return
        self._known, self._read_at = known, time.monotonic()

    async def _fetched(self) -> bytes:
        if not self._is_address:
            return await asyncio.to_thread(Path(self._place).read_bytes)
        # A redirect could lead to an address that nobody named.
        async with (
            httpx.AsyncClient(timeout=JWKS_TIMEOUT_S, follow_redirects=False) as client,
            client.stream("GET", self._place) as answer,
        ):
            answer.raise_for_status()
            body = b""
            async for piece in answer.aiter_bytes():
                body += piece
                if len(body) > MOST_JWKS_BYTES:
                    raise ValueError("key set too large")
            return body


def _public_key(entry: Any, algorithm: Algorithm) -> Any | None:
    """A key of a set, bound to the algorithm; None for one of another use, kind or algorithm."""
    if not isinstance(entry, Mapping):
        return None
    if entry.get("use", "sig") != "sig" or entry.get("alg", algorithm) != algorithm:
        return None
    # A private part has no place in a set that is handed out.
    if entry.get("kty") == "oct" or "d" in entry:
        log.error("the key set of the host app holds a secret key; it is not used")
        return None
    try:
        return jwt.PyJWK.from_dict(dict(entry), algorithm=algorithm)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None


class Tokens:
    """Judges borrowers' tokens by rules and keys, and makes them where it holds a secret."""

    def __init__(
        self, rules: TokenRules, source: Secrets | KeySet, engine: AsyncEngine | None = None
    ) -> None:
        """engine: where used tokens are noted; needed where each is good for one request."""
        if rules.once and engine is None:
            raise ValueError("expected an engine: used tokens have to be noted")
        self.rules = rules
        self._source = source
        self._engine = engine

    async def judge(self, token: str) -> Borrower | Refused:
        """Whose token it is. Raises KeysUnavailable, and SQLAlchemyError where a token that is
        good for one request cannot be noted."""
        if len(token) > MOST_TOKEN_CHARS:
            return Refused("oversized")
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            return Refused("malformed")
        # Said again by the library; an algorithm that was not configured meets no key at all.
        if header.get("alg") != self.rules.algorithm or "crit" in header:
            return Refused("refused")
        for key in await self._source.keys(header.get("kid")):
            claims = self._claims(token, key)
            if claims is not None:
                return await self._borrower(claims)
        return Refused("refused")

    def _claims(self, token: str, key: Any) -> dict[str, Any] | None:
        rules = self.rules
        required = ["sub", "exp", "aud", "iss", *(["jti"] if rules.once else [])]
        try:
            return jwt.decode(
                token,
                key,
                algorithms=[rules.algorithm],
                audience=rules.audience,
                issuer=rules.issuer,
                leeway=rules.leeway,
                options={"require": required, "enforce_minimum_key_length": True},
            )
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            return None

    async def _borrower(self, claims: Mapping[str, Any]) -> Borrower | Refused:
        customer_id, contract = claims["sub"], claims.get("contract_date")
        if not isinstance(customer_id, str) or not is_customer_id(customer_id):
            return Refused("refused")
        try:
            signed = None if contract is None else date.fromisoformat(contract)
            expires_at = datetime.fromtimestamp(float(claims["exp"]), UTC)
        except (ValueError, TypeError, OverflowError, OSError):
            return Refused("refused")
        now = datetime.now(UTC)
        if expires_at > now + self.rules.longest + self.rules.leeway:
            return Refused("long_lived")
        if self.rules.once and not await self._first_use(claims, expires_at):
            return Refused("replayed")
        return Borrower(customer_id, expires_at, signed)

    async def _first_use(self, claims: Mapping[str, Any], expires_at: datetime) -> bool:
        """Note that a token was used; False where it had been before."""
        assert self._engine is not None
        token_id = claims["jti"]
        if not isinstance(token_id, str) or not token_id:
            return False
        # One that has expired is refused for that, so that it need not be remembered.
        gone = datetime.now(UTC) - 2 * self.rules.leeway
        try:
            async with self._engine.begin() as connection:
                await connection.execute(delete(used_tokens).where(used_tokens.c.expires_at < gone))
                await connection.execute(
                    insert(used_tokens).values(
                        id_hash=hashlib.sha256(token_id.encode("utf-8", "replace")).hexdigest(),
                        expires_at=expires_at,
                    )
                )
        except IntegrityError:
            return False
        return True


def sign(
    secret: str,
    rules: TokenRules,
    customer_id: str,
    lifetime: timedelta,
    contract_date: date | None = None,
) -> str:
    """A token as a host app would make it with HS256."""
    now = datetime.now(UTC)
    claims: dict[str, Any] = {
        "sub": customer_id,
        "iss": rules.issuer,
        "aud": rules.audience,
        "iat": int(now.timestamp()),
        "exp": int((now + lifetime).timestamp()),
        "jti": secrets.token_hex(16),
    }
    if contract_date is not None:
        claims["contract_date"] = contract_date.isoformat()
    return jwt.encode(claims, secret, algorithm="HS256")


def looks_signed(value: str) -> bool:
    """Whether it has the parts of a signed or encrypted token, as no API key has."""
    return value.count(".") >= 2


def is_customer_id(text: str) -> bool:
    """Whether a customer may have this id: short and of plain characters."""
    return _CUSTOMER_ID.fullmatch(text) is not None


def subject_of(keys: Keys, customer_id: str) -> str:
    """What is kept of a customer beside a conversation: the same for the same customer, and
    nothing to be tried out by who has the database alone.

    The oldest key makes it, since newer ones are added behind: it outlives a change of keys.
    """
    oldest = next(iter(keys.by_id.values()))
    return hmac.new(
        oldest, b"zhunxin borrower\0" + customer_id.encode(), hashlib.sha256
    ).hexdigest()


def seal_customer(keys: Keys, customer_id: str, conversation_id: str) -> str:
    """A customer's id as it is kept beside a conversation that was handed over: only who has the
    keys reads it, and only beside that conversation."""
    nonce = secrets.token_bytes(12)
    sealed = AESGCM(_sealing_key(keys)).encrypt(
        nonce, customer_id.encode(), conversation_id.encode()
    )
    return base64.b64encode(nonce + sealed).decode()


def unseal_customer(keys: Keys, sealed: str, conversation_id: str) -> str:
    """The customer's id; empty where it cannot be read, as with another key."""
    try:
        held = base64.b64decode(sealed, validate=True)
        key = AESGCM(_sealing_key(keys))
        return key.decrypt(held[:12], held[12:], conversation_id.encode()).decode()
    except (ValueError, InvalidTag):
        return ""


def _sealing_key(keys: Keys) -> bytes:
    """Of the oldest key, as `subject_of` has it."""
    oldest = next(iter(keys.by_id.values()))
    return hmac.new(oldest, b"zhunxin handed over\0", hashlib.sha256).digest()
