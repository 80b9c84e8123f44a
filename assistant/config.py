"""Settings: the only reader of the environment."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

PREFIX = "ZHUNXIN_"
FILE = "zhunxin.toml"


class ConfigError(Exception):
    """A setting is wrong; the message names it and what it may be."""


class Settings(BaseModel):
    """Every setting; `ZHUNXIN_<NAME>` in the environment, `<name>` in zhunxin.toml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path = Field(
        default=Path(".zhunxin"), description="Where state lives: database, vectors, locks."
    )
    cache: Path = Field(
        default=Path("~/.cache/zhunxin"), description="Where the local model is assembled."
    )
    llm: str = Field(
        default="",
        description="`local`, `extractive`, `openai:<model>`, or a comma list as a fallback "
        "chain. Empty: `local` where that extra is installed, else `extractive`.",
    )
    llm_base_url: str = Field(
        default="", description="Address of an OpenAI-compatible endpoint, ending in /v1."
    )
    llm_api_key: SecretStr = Field(default=SecretStr(""), description="Its key.")
    llm_way: Literal["auto", "select", "draft"] = Field(
        default="auto",
        description="How an endpoint's model answers: `select` picks sentences, `draft` writes "
        "them. `auto` is `draft`; the local model always selects.",
    )
    llm_timeout_s: float = Field(
        default=60, gt=0, le=600, description="Longest wait for one model answer."
    )
    llm_retries: int = Field(
        default=2, ge=0, le=8, description="Further tries on time-outs, 429 and 5xx."
    )
    verifier: str = Field(
        default="",
        description="`openai:<model>`: a strong model, at the same endpoint, that has to agree "
        "that a written sentence follows from its clauses. Empty: none.",
    )
    judge: str = Field(
        default="",
        description="`openai:<model>`: a strong model, at the same endpoint, that judges replies "
        "in evaluations for what code cannot see. Empty: none; the local model is no judge.",
    )
    local_model: Path | None = Field(
        default=None, description="Another GGUF file to run as the local model."
    )
    embeddings: str = Field(default="local", description="`local` or `openai:<model>`.")
    embeddings_base_url: str = Field(
        default="", description="Address of an OpenAI-compatible embeddings endpoint."
    )
    embeddings_api_key: SecretStr = Field(default=SecretStr(""), description="Its key.")
    rerank: str = Field(
        default="",
        description="Model that puts what was found in order, at an endpoint with /rerank "
        "(Jina, Cohere, vLLM). Empty: none.",
    )
    rerank_base_url: str = Field(
        default="", description="Address of that endpoint, without /rerank."
    )
    rerank_api_key: SecretStr = Field(default=SecretStr(""), description="Its key.")
    rerank_timeout_s: float = Field(
        default=2,
        gt=0,
        le=60,
        description="Longest wait for it; past that, the order is the one found.",
    )
    database_url: str = Field(
        default="", description="SQLAlchemy async address; empty: SQLite in the home folder."
    )
    audit_key: SecretStr = Field(
        default=SecretStr(""),
        description="Key of the audit chain, at least 32 characters; a comma list where it was "
        "changed, the one in use last. Empty: the file `audit.key` in the home folder, which is "
        "made at the first start.",
    )
    audit_heads: Path | None = Field(
        default=None,
        description="File to which the end of the audit chain is written at intervals; empty: "
        "`audit-heads.jsonl` in the home folder. Better kept where the database's owner cannot "
        "write.",
    )
    audit_head_every: int = Field(
        default=100, ge=1, description="Entries of the audit chain between two such lines."
    )
    chroma_url: str = Field(
        default="", description="Address of a Chroma server; empty: embedded in the home folder."
    )
    redis_url: str = Field(
        default="",
        description="Nothing is kept in Redis: requests are counted in each process, the rest is "
        "in the database. Where it is set, commands say so.",
    )
    lender: Path | None = Field(
        default=None,
        description="TOML file with the lender's name, contact and product names; empty: "
        "that of the sample lender.",
    )
    rules: Path | None = Field(
        default=None,
        description="File or folder of the institution's own compliance rules: settings.toml, "
        "variants.toml, <jurisdiction>-*.toml. Empty: the shipped ones only.",
    )
    pack: str = Field(
        default="cn",
        min_length=1,
        description="Jurisdiction by whose rules all is judged, such as `cn`; a comma list joins "
        "several.",
    )
    statutes: Path | None = Field(
        default=None,
        description="Folder of the collection that the evaluation suite `statutes` ranks: "
        "corpus.jsonl, queries.jsonl, qrels.tsv.",
    )
    prices: Path | None = Field(
        default=None,
        description="TOML file with what models cost a million tokens, from which evaluations tell "
        "the cost of a case. Empty: no cost is told.",
    )
    eval_token: SecretStr = Field(
        default=SecretStr(""),
        description="Bearer token for the endpoint that `zhunxin eval run --endpoint URL` asks.",
    )
    token_secret: SecretStr = Field(
        default=SecretStr(""),
        description="Secret with which the host app signs borrowers' tokens (HS256), at least 32 "
        "characters; a comma list while it is being changed.",
    )
    token_jwks: str = Field(
        default="",
        description="In its place, file or https address of the host app's public keys (JWKS).",
    )
    token_algorithm: Literal["HS256", "RS256", "PS256", "ES256", "EdDSA"] = Field(
        default="HS256",
        description="The one algorithm that borrowers' tokens may be signed with: `HS256` with a "
        "secret; `RS256`, `PS256`, `ES256` or `EdDSA` with public keys.",
    )
    token_issuer: str = Field(
        default="", description="What borrowers' tokens have to name as `iss`; needed with a key."
    )
    token_audience: str = Field(
        default="zhunxin", min_length=1, description="What they have to name as `aud`."
    )
    token_longest_minutes: int = Field(
        default=60, ge=1, le=1440, description="How long they may be good for at most."
    )
    token_once: bool = Field(
        default=False,
        description="Whether each of them has a `jti` and is good for one message only.",
    )
    customers_url: str = Field(
        default="",
        description="SQLAlchemy async address of the lender's customers, which are only read. "
        "Empty: no customer is known.",
    )
    customers_timeout_s: float = Field(
        default=2, gt=0, le=30, description="Longest wait for a customer's record."
    )
    threads: int = Field(
        default=0, ge=0, le=256, description="Threads of the local models; 0: one a core."
    )
    allowed_origins: str = Field(
        default="",
        description="Comma list of web origins whose pages may embed the widget; empty: "
        "the same origin only.",
    )
    requests_per_minute: int = Field(
        default=60, ge=1, description="Chat messages, and sign-ins, a minute from one address."
    )
    allowed_hosts: str = Field(
        default="",
        description="Comma list of host names that requests may be addressed to, besides "
        "localhost and the address served on; `*`: any.",
    )
    staff_idle_minutes: int = Field(
        default=30, ge=1, le=1440, description="A staff session ends after so long without use."
    )
    staff_session_hours: int = Field(
        default=12, ge=1, le=168, description="A staff session ends after so long in any case."
    )
    upload_mb: int = Field(
        default=50, ge=1, le=1024, description="Largest file of an upload, in MB."
    )

    webhook_url: str = Field(
        default="",
        description="Address that is told of hand-overs, wrap-ups, low scores and approvals. "
        "Empty: none.",
    )
    webhook_secret: SecretStr = Field(
        default=SecretStr(""),
        description="Secret that these events are signed with, at least 32 characters.",
    )

    @property
    def threads_used(self) -> int:
        return self.threads or max(1, min(8, os.cpu_count() or 1))

    @property
    def ingest_lock(self) -> Path:
        """Held by whatever changes which release is live, one at a time."""
        return self.home / "ingest.lock"

    @property
    def audit_key_file(self) -> Path:
        return self.home / "audit.key"

    @property
    def audit_heads_file(self) -> Path:
        return self.audit_heads or self.home / "audit-heads.jsonl"

    def exposed(self) -> list[str]:
        """Warnings of what others of this machine may read, and should not."""
        # The key is for its owner alone; the folder may be for a group, where somebody chose so.
        rows = ((self.home, 0o007, "700"), (self.audit_key_file, 0o077, "600"))
        return [
            f"{path}: others on this machine may read it; chmod {wanted} {path}"
            for path, bits, wanted in rows
            if is_open(path, bits)
        ]

    @property
    def cases_file(self) -> Path:
        """Cases that staff made of borrowers' questions: beside the lender's file, and in the home
        folder where the lender is the sample."""
        folder = self.lender.parent if self.lender else self.home
        return folder / "cases" / "feedback.jsonl"

    @property
    def database(self) -> str:
        return self.database_url or f"sqlite+aiosqlite:///{self.home / 'zhunxin.db'}"


def check_address(name: str, url: str) -> None:
    """Whether requests can be sent to the address that a setting gives. Raises ConfigError."""
    import httpx  # a command that asks nobody does not wait for it

    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ConfigError(f"{name}: expected an http or https address ({error})") from None
    if parts.scheme not in ("http", "https") or not parts.host:
        raise ConfigError(f"{name}: expected an http or https address, as in http://host/path")


def is_open(path: Path, bits: int = 0o007) -> bool:
    """Whether a file or folder is there and its mode has some of these bits: lets others in."""
    return os.name == "posix" and path.exists() and bool(path.stat().st_mode & bits)


def load_settings(environ: Mapping[str, str] | None = None, file: Path | None = None) -> Settings:
    """Settings from zhunxin.toml, overridden by the environment. Raises ConfigError.

    environ: os.environ where it is not given.
    """
    variables = os.environ if environ is None else environ
    path = Path(FILE) if file is None else file
    values: dict[str, object] = {}
    if path.is_file():
        try:
            values.update(tomllib.loads(path.read_text(encoding="utf-8-sig")))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: not valid TOML ({error})") from error
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    from_file = set(values)
    for name in Settings.model_fields:
        value = variables.get(PREFIX + name.upper())
        if value is not None and value.strip():
            values[name] = value.strip()
            from_file.discard(name)
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        problems = [
            f"{path}: {name}: {e['msg']}"
            if name in from_file
            else f"{PREFIX}{name.upper()}: {e['msg']}"
            for e in error.errors()
            for name in [str(e["loc"][0])]
        ]
        raise ConfigError("; ".join(problems)) from None
    named = {
        name: f"{path}: {name}" if name in from_file else f"{PREFIX}{name.upper()}"
        for name in Settings.model_fields
    }
    for name in ("llm_base_url", "embeddings_base_url", "rerank_base_url"):
        if url := getattr(settings, name):
            check_address(named[name], url)
    vendor, _, model = settings.embeddings.partition(":")
    if settings.embeddings != "local" and not (vendor == "openai" and model):
        raise ConfigError(
            f"{named['embeddings']}: {settings.embeddings!r} is not `local` or `openai:<model>`"
        )
    files = ("audit_heads", "local_model", "lender", "rules", "statutes", "prices")
    paths = {name: getattr(settings, name) for name in ("home", "cache", *files)}
    return settings.model_copy(
        update={name: given and given.expanduser() for name, given in paths.items()}
    )
