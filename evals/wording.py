"""Wording by which replies are judged: how a bot says no, how it offers a person."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Literal

from assistant.models import Locale
from knowledge.text import normalise

from .schema import Case


@cache
def wording() -> Mapping[str, Any]:
    with (Path(__file__).parent / "wording.toml").open("rb") as file:
        return tomllib.load(file)


def squeeze(text: str) -> str:
    """Normalised, without white space."""
    return "".join(normalise(text).split())


@cache
def _sought(group: str, name: str) -> Sequence[tuple[str, re.Pattern[str], bool]]:
    """Each wording, its pattern, and whether it is looked for without white space.

    Latin words count as whole ones only: APR does not stand in April.
    """
    sought = []
    for said in wording()[group][name]:
        latin = said.isascii()
        plain = re.escape(normalise(said) if latin else squeeze(said))
        pattern = rf"(?<![a-z0-9]){plain}(?![a-z0-9])" if latin else plain
        sought.append((said, re.compile(pattern), not latin))
    return tuple(sought)


def named(text: str, group: str, name: str) -> list[str]:
    """What of a list of wording stands in a text."""
    spaced, held = normalise(text), squeeze(text)
    return [
        said
        for said, pattern, squeezed in _sought(group, name)
        if pattern.search(held if squeezed else spaced)
    ]


@cache
def _converter(way: str) -> Any:
    import opencc

    return opencc.OpenCC(way)


def language_of(text: str) -> Locale:
    """English where few letters are Chinese, else the script that more of its characters are of."""
    letters = [c for c in text if c.isalpha()]
    chinese = [c for c in letters if "\u3400" <= c <= "\u9fff"]
    if len(chinese) < 0.2 * len(letters):
        return "en"
    held = "".join(chinese)
    traditional = sum(a != b for a, b in zip(held, _converter("t2s").convert(held), strict=False))
    simplified = sum(a != b for a, b in zip(held, _converter("s2t").convert(held), strict=False))
    return "zh-Hant" if traditional > simplified else "zh-Hans"


def read_status(text: str) -> Literal["answered", "not_covered"]:
    """The status of a reply that has text alone."""
    return "not_covered" if named(text, "status", "not_covered") else "answered"


def offers_contact(text: str) -> bool:
    return bool(named(text, "contact", "offered"))


def told_beside(case: Case, today: date) -> str:
    """What a bot is told beside the question, as our pipeline is: the day, and the contract."""
    said = wording()["bot"]
    parts = [said["today"].format(today=today)]
    if case.as_of:
        parts.append(said["as_of"].format(day=case.as_of))
    if case.contract_date:
        parts.append(said["contract"].format(day=case.contract_date))
    return "".join(parts)
