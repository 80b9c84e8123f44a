"""A conversation as it is scored, whoever held it, and the files that conversations come in.

A file is read as it comes: what cannot be read is named with its line and left out, and the rest is
given. Nobody is guessed: a turn of which the file does not say who speaks is named too.
"""

from __future__ import annotations

import codecs
import csv
import json
import re
import tomllib
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, Literal, get_args

Speaker = Literal["borrower", "assistant", "agent", "system"]
"""`assistant` is the program, `agent` a person who works for the lender."""

MOST_TURNS = 50_000
"""Turns of one conversation that are taken."""
MOST_CHARACTERS = 20_000
"""Of one turn."""
MOST_BYTES_OF_LINE = 1 << 26
"""A longer line is no conversation, and is named."""

_FILE = Path(__file__).with_name("transcripts.toml")


@dataclass(frozen=True, slots=True)
class Turn:
    """What somebody said at once."""

    speaker: Speaker
    text: str
    at: datetime | None = None
    """As the file has it; without a zone it is of the lender's."""
    by: str = ""
    """Login or number of an agent; empty for everybody else."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What of a file was left out, and why."""

    line: int
    """Counted from 1; 0 where it is of no line."""
    code: Literal[
        "unknown_speaker",
        "no_speaker",
        "no_text",
        "encoding",
        "not_json",
        "not_csv",
        "wrong_form",
        "bad_time",
        "too_long",
        "too_many_turns",
        "no_conversation",
        "twice",
        "no_turns",
    ]
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Transcript:
    """A conversation, in the order of its turns."""

    id: str
    turns: tuple[Turn, ...]
    started: datetime | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What was known of the customer then: figures of loans as the lender's systems have them."""
    topic: str = ""
    """Such as `collections`; empty: not said."""
    problems: tuple[Problem, ...] = ()
    """Of the turns that are missing."""


@dataclass(frozen=True, slots=True)
class BadTranscript:
    """A conversation of which nothing can be scored."""

    id: str
    """Empty: not even that is known."""
    problems: tuple[Problem, ...]


class BadFile(Exception):
    """A file holds no conversations; the message names it and says why."""


Read = Transcript | BadTranscript


def read_transcripts(file: Path, speakers: Mapping[str, Speaker] | None = None) -> Iterator[Read]:
    """The conversations of a file: CSV with a row a turn, JSONL with a conversation a line, or text
    with a speaker before each turn.

    speakers: labels of one's own, beside those of transcripts.toml. The encoding may change from
    line to line. Raises BadFile, also while it is being read.
    """
    reader = _READERS.get(file.suffix.lower())
    if reader is None:
        raise BadFile(f"{file}: expected a file that ends in {', '.join(_READERS)}")
    known = {**_words("speakers"), **{_plain(k): v for k, v in (speakers or {}).items()}}
    try:
        yield from reader(file, known)
    except OSError as error:
        raise BadFile(f"{file}: cannot be read ({error.strerror})") from error


def count_conversations(file: Path) -> int:
    """About how many conversations a file holds, for a bar. Raises BadFile."""
    try:
        if file.suffix.lower() == ".csv":
            return len({name for _, name, _, problem in _rows(file) if name or problem})
        with file.open("rb") as opened:
            lines = _lines(opened, set())
            if file.suffix.lower() == ".jsonl":
                return sum(1 for line in lines if line.strip())
            return max(1, sum(1 for line in lines if _HEAD.fullmatch(line.rstrip())))
    except OSError as error:
        raise BadFile(f"{file}: cannot be read ({error.strerror})") from error


def as_speaker(word: str) -> Speaker | None:
    """Whom a label means; None where it is none of those that are known."""
    return _words("speakers").get(_plain(word))  # type: ignore[return-value]


def of_rows(
    conversation_id: str,
    rows: Iterable[object],
    *,
    started: object = None,
    facts: Mapping[str, Any] | None = None,
    topic: str = "",
    speakers: Mapping[str, str] | None = None,
    line: int = 0,
) -> Read:
    """A conversation of rows with `speaker`, `text`, `at` and `by`, as JSON has them. line: for
    problems; 0: the place among the rows is named in its stead."""
    open_ = _Open(conversation_id, topic=topic)
    known = _words("speakers") if speakers is None else speakers
    for place, row in enumerate(rows, 1):
        where = line or place
        if not isinstance(row, Mapping):
            open_.problems.append(Problem(where, "wrong_form", f"turns[{place}]"))
            continue
        named = {_COLUMN.get(_plain(str(key)), ""): value for key, value in row.items()}
        open_.add(where, named, known)
    if started:
        open_.started = _time(str(started))
        if open_.started is None:
            open_.problems.append(Problem(line, "bad_time", str(started)[:40]))
    return open_.closed(facts, line)


def of_conversation(
    conversation_id: str,
    records: Iterable[Mapping[str, Any]],
    messages: Iterable[Mapping[str, Any]] = (),
    *,
    facts: Mapping[str, Any] | None = None,
    topic: str = "",
) -> Transcript:
    """One of our own: what borrower and assistant wrote, as journal.read_turns gives it, and what
    was said at the desk, in the order of time.

    messages: of people, with `speaker`, `text`, `at` and `by`.
    """
    said: list[tuple[datetime, int, Turn]] = []
    for record in records:
        at = record["asked_at"]
        if record["question"]:
            said.append((at, len(said), Turn("borrower", record["question"], at)))
        reply = record.get("reply") or {}
        if reply.get("answer"):
            said.append((at, len(said), Turn("assistant", reply["answer"], at)))
    for message in messages:
        speaker = as_speaker(message["speaker"])
        if speaker and message["text"]:
            turn = Turn(speaker, message["text"], message["at"], message.get("by", ""))
            said.append((message["at"], len(said), turn))
    said.sort(key=lambda each: (each[0], each[1]))
    turns = tuple(turn for _, _, turn in said)
    return Transcript(
        conversation_id, turns, turns[0].at if turns else None, dict(facts or {}), topic
    )


@dataclass(slots=True)
class _Open:
    """A conversation that is still being read."""

    id: str
    topic: str = ""
    started: datetime | None = None
    turns: list[Turn] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    facts: Mapping[str, Any] = field(default_factory=dict)

    def add(self, line: int, row: Mapping[str, Any], known: Mapping[str, str]) -> None:
        label, text = _cell(row.get("speaker")), _cell(row.get("text"))
        speaker = known.get(_plain(label))
        problem: Problem | None = None
        if not label:
            problem = Problem(line, "no_speaker")
        elif speaker is None:
            problem = Problem(line, "unknown_speaker", label[:40])
        elif not text.strip():
            problem = Problem(line, "no_text")
        elif len(text) > MOST_CHARACTERS:
            problem = Problem(line, "too_long", str(len(text)))
        elif len(self.turns) >= MOST_TURNS:
            problem = Problem(line, "too_many_turns", str(MOST_TURNS))
        if problem is not None:
            self.problems.append(problem)
            return
        said_at = _cell(row.get("at"))
        at = _time(said_at) if said_at else None
        if said_at and at is None:
            self.problems.append(Problem(line, "bad_time", said_at[:40]))
        by = _cell(row.get("by")).strip()[:64] if speaker == "agent" else ""
        self.turns.append(Turn(speaker, text, at, by))  # type: ignore[arg-type]
        self.topic = self.topic or _cell(row.get("topic")).strip()[:64]

    def go_on(self, line: int, text: str) -> None:
        """Another line of the last turn."""
        last = self.turns[-1]
        if len(last.text) + len(text) >= MOST_CHARACTERS:
            self.problems.append(Problem(line, "too_long", str(len(last.text) + len(text))))
            return
        self.turns[-1] = Turn(last.speaker, f"{last.text}\n{text}", last.at, last.by)

    def closed(self, facts: Mapping[str, Any] | None = None, line: int = 0) -> Read:
        if not self.turns:
            return BadTranscript(self.id, tuple(self.problems) or (Problem(line, "no_turns"),))
        started = self.started or next((turn.at for turn in self.turns if turn.at), None)
        return Transcript(
            self.id,
            tuple(self.turns),
            started,
            dict(facts if facts is not None else self.facts),
            self.topic,
            tuple(self.problems),
        )


# Files ----------------------------------------------------------------------------------------


def _read_csv(file: Path, known: Mapping[str, str]) -> Iterator[Read]:
    """Rows of a conversation may stand apart: it is given when its last row is read."""
    last: dict[str, int] = {}
    for place, (_, name, _, _) in enumerate(_rows(file)):
        if name:
            last[name] = place
    open_: dict[str, _Open] = {}
    for place, (line, name, row, problem) in enumerate(_rows(file)):
        if problem is not None and not name:
            yield BadTranscript("", (problem,))
            continue
        held = open_.setdefault(name, _Open(name))
        if problem is not None:
            held.problems.append(problem)
        else:
            held.add(line, row, known)
        if last[name] == place:
            yield open_.pop(name).closed()


_Row = tuple[int, str, Mapping[str, str], Problem | None]


def _rows(file: Path) -> Iterator[_Row]:
    """(line, conversation, cells by meaning, what is wrong with it) of each row of a CSV file."""
    with file.open("rb") as opened:
        broken: set[int] = set()
        lines = _lines(opened, broken)
        reader = csv.reader(lines)
        header = next(_csv_rows(reader), None)
        if header is None or isinstance(header, str):
            raise BadFile(f"{file}: is empty")
        meaning = [_COLUMN.get(_plain(name), "") for name in header]
        missing = [name for name in ("conversation", "speaker", "text") if name not in meaning]
        if missing:
            raise BadFile(
                f"{file}: has no column {' or '.join(missing)}; the first line names the columns "
                f"({', '.join(repr(name) for name in header[:12])})"
            )
        before = reader.line_num
        for cells in _csv_rows(reader):
            line, first = reader.line_num, before + 1
            before = line
            if isinstance(cells, str):
                yield line, "", {}, Problem(line, "not_csv", cells)
                continue
            if not any(cells):
                continue
            row = dict(zip(meaning, cells, strict=False))
            name = row.get("conversation", "").strip()[:64]
            problem = None
            if broken.intersection(range(first, line + 1)):
                problem = Problem(line, "encoding")
            elif len(cells) != len(header):
                problem = Problem(line, "not_csv", f"{len(cells)}/{len(header)}")
            elif not name:
                problem = Problem(line, "no_conversation")
            yield line, name, row, problem


def _csv_rows(reader: Any) -> Iterator[list[str] | str]:
    """Rows, and of one that is none what is wrong with it."""
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield str(error)


def _read_jsonl(file: Path, known: Mapping[str, str]) -> Iterator[Read]:
    seen: set[str] = set()
    with file.open("rb") as opened:
        broken: set[int] = set()
        for line, text in enumerate(_lines(opened, broken), 1):
            if not text.strip():
                continue
            read = _of_json(line, text, known, line in broken)
            if read.id and read.id in seen:
                yield BadTranscript(read.id, (Problem(line, "twice", read.id),))
                continue
            seen.add(read.id)
            yield read


def _of_json(line: int, text: str, known: Mapping[str, str], broken: bool) -> Read:
    if broken:
        return BadTranscript("", (Problem(line, "encoding"),))
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        return BadTranscript("", (Problem(line, "not_json", str(error)[:80]),))
    if not isinstance(row, dict) or not isinstance(row.get("turns"), list):
        return BadTranscript("", (Problem(line, "wrong_form", "turns"),))
    name = next((row[key] for key in ("id", "conversation_id", "conversation") if key in row), "")
    if not isinstance(name, str | int) or isinstance(name, bool) or not str(name).strip():
        return BadTranscript("", (Problem(line, "no_conversation"),))
    facts = row.get("facts")
    if facts is not None and not isinstance(facts, dict):
        return BadTranscript(str(name)[:64], (Problem(line, "wrong_form", "facts"),))
    return of_rows(
        str(name).strip()[:64],
        row["turns"],
        started=row.get("started"),
        facts=facts,
        topic=_cell(row.get("topic")).strip()[:64],
        speakers=known,
        line=line,
    )


_HEAD = re.compile(r"\s*={3,}\s*(?P<said>[^=].*?)?\s*=*\s*")
_SETTING = re.compile(r"\b(started|topic|by)=(\S+)")
_LABELLED = re.compile(
    r"[\[(（【]?(?P<at>(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}[ T])?\d{1,2}:\d{2}(?::\d{2})?)?"
    r"[\])）】]?\s*(?P<label>[^\s:：,，。;；?？!！()（）\[\]]{1,24}(?: [A-Za-z0-9_.-]{1,24})?)"
    r"\s*(?:[(（\[](?P<by>[^)）\]]{1,64})[)）\]])?\s*[:：](?!//)\s*(?P<text>.*)",
    re.DOTALL,
)


def _read_text(file: Path, known: Mapping[str, str]) -> Iterator[Read]:
    """`=== id started=2026-11-20 topic=collections ===` begins a conversation; a line that is
    indented goes on with the turn above it."""
    held = _Open(file.stem[:64])
    begun = False
    seen: set[str] = set()
    count = 0
    with file.open("rb") as opened:
        broken: set[int] = set()
        for line, raw in enumerate(_lines(opened, broken), 1):
            text = raw.rstrip("\r\n")
            if line in broken:
                held.problems.append(Problem(line, "encoding"))
                begun = True
                continue
            if not text.strip():
                continue
            if head := _HEAD.fullmatch(text):
                if begun:
                    yield _once(held, seen)
                count += 1
                held = _headed(head["said"] or f"{file.stem[:50]}-{count}", line)
                begun = True
                continue
            begun = True
            indented = text[0] in " \t\u3000"
            said = None if indented else _LABELLED.fullmatch(text)
            if said is None:
                if held.turns:
                    held.go_on(line, text.strip())
                else:
                    held.problems.append(Problem(line, "no_speaker", text.strip()[:40]))
                continue
            day = held.started.date().isoformat() if held.started else ""
            at = said["at"] or ""
            if at and len(at) < 10:
                at = f"{day} {at}" if day else ""
            row = {"speaker": said["label"], "text": said["text"], "at": at, "by": said["by"] or ""}
            held.add(line, row, known)
    if begun:
        yield _once(held, seen)


def _once(held: _Open, seen: set[str]) -> Read:
    if held.id in seen:
        return BadTranscript(held.id, (Problem(0, "twice", held.id),))
    seen.add(held.id)
    return held.closed()


def _headed(said: str, line: int) -> _Open:
    settings = dict(_SETTING.findall(said))
    name = _SETTING.sub("", said).strip()[:64] or f"line-{line}"
    held = _Open(name, topic=settings.get("topic", "")[:64])
    if started := settings.get("started"):
        held.started = _time(started)
        if held.started is None:
            held.problems.append(Problem(line, "bad_time", started[:40]))
    return held


_READERS: Mapping[str, Callable[[Path, Mapping[str, str]], Iterator[Read]]] = {
    ".csv": _read_csv,
    ".jsonl": _read_jsonl,
    ".txt": _read_text,
}
SUFFIXES = (*_READERS,)


def _lines(opened: BinaryIO, broken: set[int]) -> Iterator[str]:
    """The lines of a file, each in the encoding that it is in; `broken` gets the numbers of those
    that are in none, which are given with marks where they cannot be read."""
    start = opened.read(4)
    opened.seek(0)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        for number, line in enumerate(codecs.getreader("utf-16")(opened, "replace"), 1):
            if "\ufffd" in line:
                broken.add(number)
            yield line
        return
    number = 0
    while raw := opened.readline(MOST_BYTES_OF_LINE):
        number += 1
        if number == 1:
            raw = raw.removeprefix(codecs.BOM_UTF8)
        for encoding in ("utf-8", "gb18030", "big5hkscs"):
            try:
                line = raw.decode(encoding)
                break
            except UnicodeDecodeError:
                continue
        else:
            broken.add(number)
            line = raw.decode("utf-8", "replace")
        # A zero byte is of no text; a whole line of them is one that was never written.
        if "\0" in line:
            broken.add(number)
            line = line.replace("\0", "")
        yield line


# Words ----------------------------------------------------------------------------------------


def _cell(value: object) -> str:
    if value is None or isinstance(value, bool | list | dict):
        return ""
    # Half of a surrogate pair cannot be kept; a character takes its place.
    return str(value).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _plain(word: str) -> str:
    return re.sub(r"[\s\[\]()（）【】:：_-]", "", unicodedata.normalize("NFKC", word)).lower()


@cache
def _words(table: str) -> Mapping[str, str]:
    """Each word -> what it means."""
    said = tomllib.loads(_FILE.read_text(encoding="utf-8"))[table]
    return {_plain(word): meaning for meaning, words in said.items() for word in words}


class _Columns:
    """Column as a file names it -> its meaning; read when first asked for."""

    def get(self, name: str, default: str) -> str:
        return _words("columns").get(name, default)


_COLUMN = _Columns()

_TIMES = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d")


def _time(said: str) -> datetime | None:
    text = said.strip()
    if text.isdecimal() and len(text) in (10, 13):
        return datetime.fromtimestamp(int(text[:10]), UTC)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    plain = re.sub(r"[/.](?=\d)", "-", text, count=2)
    for form in _TIMES:
        try:
            return datetime.strptime(plain, form)  # noqa: DTZ007 (the lender's own zone)
        except ValueError:
            continue
    return None


SPEAKERS: Sequence[Speaker] = get_args(Speaker)
