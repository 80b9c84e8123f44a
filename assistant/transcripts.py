"""A conversation as it is scored, whoever held it, and the files that conversations come in.

A file is read as it comes: what cannot be read is named with its line and left out, and the rest is
given. Nobody is guessed: a turn of whom the file does not say who speaks is named too.
"""

from __future__ import annotations

import csv
import json
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

Speaker = Literal["borrower", "assistant", "agent", "system"]
"""`assistant` is the program, `agent` a person who works for the lender."""

MOST_TURNS = 50_000
"""Turns of one conversation that are taken."""
MOST_CHARACTERS = 20_000
"""Of one turn."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What somebody said at once."""

    speaker: Speaker
    text: str
    at: datetime | None = None
    """As the file has it; without a zone it is one of the lender."""
    by: str = ""
    """Login or number of an agent; empty for everybody else."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What of a file was left out, and why."""

    line: int
    """Counted from 1; 0 where it is of no line."""
    code: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Transcript:
    """A conversation, oldest turn first."""

    id: str
    turns: tuple[Turn, ...]
    started: datetime | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What was known of the customer then: figures of loans, as the lender's systems have them."""
    topic: str = ""
    """Such as `collections`; empty: not said."""
    problems: tuple[Problem, ...] = ()
    """Of the turns that are missing."""


@dataclass(frozen=True, slots=True)
class BadTranscript:
    """A conversation of which nothing can be scored."""

    id: str
    problems: tuple[Problem, ...]


class BadFile(Exception):
    """A file holds no conversations; the message names it and says why."""


def read_transcripts(
    file: Path, speakers: Mapping[str, Speaker] | None = None
) -> Iterator[Transcript | BadTranscript]:
    """The conversations of a file: CSV with a row a turn, JSONL with a conversation a line, or text
    with a speaker before each turn.

    speakers: labels of one's own, beside those of transcripts.toml. Encodings may change from line
    to line. Raises BadFile, also while it is being read.
    """
    raise NotImplementedError


def of_conversation(
    conversation_id: str,
    records: Iterable[Mapping[str, Any]],
    messages: Iterable[Mapping[str, Any]] = (),
    *,
    facts: Mapping[str, Any] | None = None,
    topic: str = "",
) -> Transcript:
    """One of our own: what borrower and assistant wrote (as journal.read_turns gives it) and what
    was said at the desk, in the order of its time.

    messages: of handoff_events of the kind `message`: `speaker`, `text`, `at`, `staff_id`.
    """
    raise NotImplementedError
