"""Renders prompts and notices; every version is known by the hash of its template."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Prompt:
    name: str
    version: str
    """First 16 hex digits of the template's SHA-256."""
    template: str
    text: str


def render(name: str, /, **values: Any) -> Prompt:
    """Render `<language>/<name>.j2`. A missing variable raises jinja2's UndefinedError."""
    source = _source(name, ".j2")
    return Prompt(name, version_of(source), source, _compiled(source).render(**values).strip())


def page(name: str, /, **values: Any) -> str:
    """Render `pages/<name>.html.j2`, everything that is filled in escaped."""
    return str(_page(name).render(**values))


def page_words(name: str, locale: str) -> Mapping[str, Any]:
    """The wording of a page in a language, from `pages/<name>.toml`."""
    words: Mapping[str, Any] = _tables(_file(f"pages/{name}.toml"))[locale]
    return words


@cache
def _page(name: str) -> Any:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        undefined=StrictUndefined, autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["local"] = local
    return environment.from_string(_file(f"pages/{name}.html.j2"))


def local(at: datetime | str) -> str:
    """An instant as a page tells it: in Asia/Shanghai, to the minute. One without a zone, as SQLite
    gives it, is UTC."""
    instant = datetime.fromisoformat(at) if isinstance(at, str) else at
    instant = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    return f"{instant.astimezone(ZoneInfo('Asia/Shanghai')):%Y-%m-%d %H:%M}"


def version_of(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def notice(code: str, locale: str, /, **values: str) -> str:
    """A sentence for people, from notices.toml. Raises KeyError for an unknown code.

    A code that notices pinned for a replay do not know is worded as today.
    """
    wording = notices().get(code) or _tables(_file("notices.toml"))[code]
    return wording[locale].format(**values)


def way_to_a_person(hotline: str, hours: str, locale: str) -> str:
    """The offer of a person; where no clause in force states a hotline, without one."""
    if not hotline:
        return notice("contact_unknown", locale)
    return notice("contact", locale, hotline=hotline, hours=hours)


def notices() -> Mapping[str, Mapping[str, str]]:
    """Code -> locale -> wording with `{named}` slots."""
    return _tables(_source("notices", ".toml"))


def notices_used() -> Prompt:
    """The file of notices as it is now, with its version."""
    source = _source("notices", ".toml")
    return Prompt("notices", version_of(source), source, "")


def calculated(section: str, code: str, locale: str, /, **values: str) -> str:
    """Wording of a calculation, from calculations.toml. Raises KeyError for an unknown code."""
    wording: str = calculations()[section][code][locale]
    return wording.format(**values)


def calculations() -> Mapping[str, Any]:
    """Section -> code -> locale -> wording with `{named}` slots."""
    return _tables(_source("calculations", ".toml"))


def calculations_used() -> Prompt:
    """The file of what calculations say as it is now, with its version."""
    source = _source("calculations", ".toml")
    return Prompt("calculations", version_of(source), source, "")


def examples(name: str) -> tuple[Prompt, tuple[Mapping[str, str], ...]]:
    """Worked examples of a prompt, as chat turns: `user` and `assistant` each."""
    source = _source(name, ".toml")
    return Prompt(name, version_of(source), source, ""), tuple(_tables(source)["example"])


@contextmanager
def pinned(texts: Mapping[str, str]) -> Iterator[None]:
    """Take templates and notices from these texts, by name, instead of from the files: those that
    a reply was made with, while it is made again. Names that are not in it come from the files."""
    before = _pinned.set(texts)
    try:
        yield
    finally:
        _pinned.reset(before)


_pinned: ContextVar[Mapping[str, str] | None] = ContextVar("pinned", default=None)


def _source(name: str, suffix: str) -> str:
    texts = _pinned.get() or {}
    return texts[name] if name in texts else _file(f"{name}{suffix}")


@cache
def _file(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


@lru_cache(maxsize=64)
def _tables(source: str) -> Mapping[str, Any]:
    return tomllib.loads(source)


@lru_cache(maxsize=64)
def _compiled(source: str) -> Any:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        undefined=StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_inert,
    )
    return environment.from_string(source)


def _inert(value: Any) -> Any:
    """What is filled in, without signs that could end the place it stands in: material comes
    between delimiters such as <question>, and is never more than material."""
    return value.translate(_WIDE) if isinstance(value, str) else value


_WIDE = {ord("<"): "\uff1c", ord(">"): "\uff1e"}
