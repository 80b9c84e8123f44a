"""Scripts: what agents say again and again, in the lender's words, with the case's own values.

The texts are data: scripts.toml beside the lender file, the sample's in the folder `knowledge`. A
variable that nobody knows leaves its script unfilled; nothing is put in its place.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

SHIPPED = Path(__file__).parent.parent / "knowledge" / "scripts.toml"
FILE = "scripts.toml"
LOCALES = ("zh-Hans", "zh-Hant", "en")

VARIABLES = frozenset(
    {
        "agent",
        "annual_rate",
        "arrears_cny",
        "complaint_days",
        "credit_objection_days",
        "due_list",
        "hotline",
        "hours",
        "instalments_left",
        "lender",
        "next_due_cny",
        "next_due_on",
        "outstanding_cny",
        "overdue_days",
        "product",
        "today",
    }
)
"""What a script may have filled in; docs/copilot.md says where each comes from."""

_SLOT = re.compile(r"\{(\w+)\}")


class ScriptsError(Exception):
    """The scripts cannot be used; the message names file and script."""


@dataclass(frozen=True, slots=True)
class Script:
    """One text with its slots."""

    id: str
    macro: str
    """What is typed to have it."""
    tasks: frozenset[str]
    title: Mapping[str, str]
    use: Mapping[str, str]
    """When it is used."""
    text: Mapping[str, str]

    def slots(self, locale: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(_SLOT.findall(self.text[locale])))


@dataclass(frozen=True, slots=True)
class Filled:
    """A script with its values, or what is missing for it."""

    text: str
    missing: tuple[str, ...]


def scripts_file(lender: Path | None) -> Path:
    """The lender's own scripts; the sample's where there are none beside its file."""
    own = lender.parent / FILE if lender else SHIPPED
    return own if own.is_file() else SHIPPED


def load_scripts(file: Path = SHIPPED) -> tuple[Script, ...]:
    """In the order of the file. Raises ScriptsError."""
    try:
        return _of_text(file.read_text(encoding="utf-8"), file.name)
    except OSError as error:
        raise ScriptsError(f"{file}: cannot be read ({type(error).__name__})") from error


@lru_cache(maxsize=4)
def _of_text(source: str, name: str) -> tuple[Script, ...]:
    try:
        rows = tomllib.loads(source)["script"]
    except (tomllib.TOMLDecodeError, KeyError) as error:
        raise ScriptsError(f"{name}: {error}") from None
    scripts = tuple(_script(row, name) for row in rows)
    for field in ("id", "macro"):
        said = [getattr(script, field) for script in scripts]
        if repeated := {each for each in said if said.count(each) > 1}:
            raise ScriptsError(f"{name}: {field}: {sorted(repeated)} more than once")
    return scripts


def _script(row: Mapping[str, Any], name: str) -> Script:
    try:
        script = Script(
            id=row["id"],
            macro=row["macro"],
            tasks=frozenset(row["tasks"]),
            title={locale: row["title"][locale] for locale in LOCALES},
            use={locale: row["use"][locale] for locale in LOCALES},
            text={locale: row["text"][locale].strip() for locale in LOCALES},
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ScriptsError(f"{name}: script {row.get('id')!r}: no {error}") from None
    for locale in LOCALES:
        if strangers := set(script.slots(locale)) - VARIABLES:
            known = ", ".join(sorted(VARIABLES))
            raise ScriptsError(
                f"{name}: script {script.id!r}: {sorted(strangers)}: expected of {known}"
            )
    return script


def fill(script: Script, locale: str, values: Mapping[str, str]) -> Filled:
    """The text in a language, with every slot filled; empty where a value is not known."""
    missing = tuple(slot for slot in script.slots(locale) if not values.get(slot))
    if missing:
        return Filled("", missing)
    return Filled(_SLOT.sub(lambda match: values[match.group(1)], script.text[locale]), ())
