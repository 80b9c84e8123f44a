"""Wording by which replies are judged: how a bot says no, how it offers a person."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Literal

from knowledge.text import normalise

from .schema import Case


@cache
def wording() -> Mapping[str, Any]:
    with (Path(__file__).parent / "wording.toml").open("rb") as file:
        return tomllib.load(file)


@cache
def _squeezed(group: str, name: str) -> Sequence[str]:
    return tuple(squeeze(said) for said in wording()[group][name])


def squeeze(text: str) -> str:
    """Normalised, without white space."""
    return "".join(normalise(text).split())


def named(text: str, group: str, name: str) -> list[str]:
    """What of a list of wording stands in a text."""
    held = squeeze(text)
    return [said for said in _squeezed(group, name) if said in held]


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
