"""Renders prompts and notices; every version is known by the hash of its template."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

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
    template, source = _template(name)
    return Prompt(name, version_of(source), source, template.render(**values).strip())


def version_of(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def notice(code: str, locale: str, /, **values: str) -> str:
    """A sentence for people, from notices.toml. Raises KeyError for an unknown code."""
    wording = notices()[code]
    return wording[locale].format(**values)


@cache
def notices() -> Mapping[str, Mapping[str, str]]:
    """Code -> locale -> wording with `{named}` slots."""
    with (FOLDER / "notices.toml").open("rb") as file:
        return tomllib.load(file)


@cache
def examples(name: str) -> tuple[Prompt, tuple[Mapping[str, str], ...]]:
    """Worked examples of a prompt, as chat turns: `user` and `assistant` each."""
    source = (FOLDER / f"{name}.toml").read_text(encoding="utf-8")
    turns = tuple(tomllib.loads(source)["example"])
    return Prompt(name, version_of(source), source, ""), turns


@cache
def _template(name: str) -> tuple[Any, str]:
    from jinja2 import Environment, StrictUndefined

    source = (FOLDER / f"{name}.j2").read_text(encoding="utf-8")
    environment = Environment(
        undefined=StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(source), source
