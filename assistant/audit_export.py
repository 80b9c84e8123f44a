"""Export for a regulator: records with their rows of the chain, as JSONL and as pages to read."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from prompts.render import notice, page

from . import audit, copilot_store, handoff, journal, privacy
from .audit import Entry, Progress, Trail
from .copilot_store import CopilotEvent
from .handoff import HandoffEvent


class FolderNotEmpty(Exception):
    """An export would be mixed with what is in its folder already; the message names it."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    conversations: int
    records: int
    out: str
    broken: int = 0
    """Records that are not the ones that were entered in the chain."""


async def export(
    trail: Trail,
    out: Path,
    *,
    conversation_id: str = "",
    first: date | None = None,
    last: date | None = None,
    by: str,
    progress: Progress = lambda done, total: None,
) -> Exported:
    """Write the records of a conversation, or of days in Asia/Shanghai, to a folder.

    `records.jsonl`: one record a line, with what speaks against it (`broken`), its rows of the
    chain and its columns as they are stored, from which the salted hashes in those rows can be made
    again. `handoffs.jsonl`: one event of a hand-over to a person a line, with its rows of the
    chain; how a borrower can be reached is masked in it. `copilot.jsonl`: what was suggested to
    agents, what became of it, and wrap-ups, likewise. `texts.jsonl`: the wording the records
    were made with. `conversations/ID.html`: a page for each conversation. `export.json`: what was
    asked for, and the end of the chain. Each of them but the texts and the hand-overs carries the
    label that AI made what the assistant said. That it was exported is entered in the chain.
    Raises FolderNotEmpty, journal.UnreadableRecord.
    """
    if await asyncio.to_thread(_is_taken, out):
        raise FolderNotEmpty(f"{out}: expected a new or empty folder")
    since, before = _start_of(first), _start_of(last + timedelta(days=1)) if last else None
    wanted = await journal.record_ids(
        trail.engine, conversation_id=conversation_id, first=since, before=before
    )
    grouped = {
        conversation: [record_id for _, record_id in rows]
        for conversation, rows in groupby(wanted, key=lambda pair: pair[0])
    }
    # A person may have been asked for before anything was asked.
    for conversation in await handoff.conversations_in(trail.engine, since, before):
        if conversation_id in ("", conversation):
            grouped.setdefault(conversation, [])
    for conversation in await copilot_store.conversations_in(trail.engine, since, before):
        if conversation_id in ("", conversation):
            grouped.setdefault(conversation, [])
    if not grouped:
        return Exported(0, 0, str(out))
    asked = {
        "conversation": conversation_id,
        "from": first and first.isoformat(),
        "to": last and last.isoformat(),
    }
    head = await audit.append(
        trail,
        "export",
        conversation_id,
        {**asked, "by": by, "records": len(wanted), "conversations": len(grouped)},
    )
    await asyncio.to_thread(out.mkdir, 0o700, parents=True, exist_ok=True)
    pages = out / "conversations"
    await asyncio.to_thread(pages.mkdir)
    versions: set[str] = set()
    done = broken = 0
    for conversation, record_ids in grouped.items():
        items = [item for each in record_ids if (item := await _item(trail, each)) is not None]
        broken += sum(bool(item["broken"]) for item in items)
        events = [
            await _event_item(trail, event)
            for event in await _events_of(trail, conversation, since, before)
        ]
        broken += sum(bool(event["broken"]) for event in events)
        for item in items:
            versions |= set((item["record"]["texts"] or {}).values())
        shown = page(
            "conversation",
            conversation=conversation,
            records=items,
            events=events,
            head=head,
            exported_at=head.at,
            label=notice("ai_label", "zh-Hans"),
        )
        await asyncio.to_thread(_write, pages / f"{_file_name(conversation)}.html", shown)
        lines = "".join(_line(item) for item in items)
        await asyncio.to_thread(_add, out / "records.jsonl", lines)
        lines = "".join(_line(event) for event in events)
        await asyncio.to_thread(_add, out / "handoffs.jsonl", lines)
        beside = [
            await _suggestion_item(trail, note)
            for note in await copilot_store.read_notes(trail.engine, conversation)
            if (since is None or note.at >= since) and (before is None or note.at < before)
        ]
        broken += sum(bool(note["broken"]) for note in beside)
        lines = "".join(_line(note) for note in beside)
        await asyncio.to_thread(_add, out / "copilot.jsonl", lines)
        done += len(items)
        progress(done, len(wanted))
    texts = await journal.read_texts(trail.engine, versions)
    lines = "".join(
        _line({"version": version, "text": text}) for version, text in sorted(texts.items())
    )
    await asyncio.to_thread(_write, out / "texts.jsonl", lines)
    label = notice("ai_label", "zh-Hans")
    summary = {
        "label": label,
        **asked,
        "conversations": len(grouped),
        "records": done,
        "broken": broken,
        "head": head.as_json(),
    }
    await asyncio.to_thread(
        _write, out / "export.json", json.dumps(summary, ensure_ascii=False, indent=2) + "\n"
    )
    return Exported(len(grouped), done, str(out), broken)


def _file_name(conversation: str) -> str:
    """Ids are made here, of letters and digits; one that was changed in the database must not lead
    out of the folder."""
    if re.fullmatch(r"[0-9A-Za-z_-]{1,64}", conversation):
        return conversation
    return hashlib.sha256(conversation.encode("utf-8", "surrogatepass")).hexdigest()


def _is_taken(out: Path) -> bool:
    return out.exists() and (not out.is_dir() or any(out.iterdir()))


async def _item(trail: Trail, record_id: str) -> dict[str, Any] | None:
    # A damaged record ends the export: a page that left it out would look whole.
    record = await journal.read_record(trail.engine, record_id)
    stored = await audit.read_stored(trail.engine, record_id)
    if record is None or stored is None:
        return None
    entries = await audit.read_entries(trail.engine, subjects=[record_id])
    state = await audit.check_record(trail, record_id)
    return {
        "label": notice("ai_label", "zh-Hans"),
        "record": record,
        "erased": record["erased_seq"] is not None,
        "broken": state.broken if state else "gone",
        "stored": {name: stored[name] for name in audit.PERSONAL},
        "entries": [_proof(entry) for entry in entries],
    }


async def _events_of(
    trail: Trail, conversation: str, first: datetime | None, before: datetime | None
) -> list[HandoffEvent]:
    events: list[HandoffEvent] = []
    after = 0
    while found := await handoff.read_events(
        trail.engine, after=after, conversation_id=conversation
    ):
        after = found[-1].seq
        events += [
            each
            for each in found
            if (first is None or each.at >= first) and (before is None or each.at < before)
        ]
    return events


async def _event_item(trail: Trail, event: HandoffEvent) -> dict[str, Any]:
    entries = await audit.read_entries(trail.engine, subjects=[event.id])
    return {
        "event": {**asdict(event), "contact": privacy.mask(event.contact).text},
        "erased": event.erased,
        "broken": await audit.check_event(trail, event.id),
        "entries": [_proof(entry) for entry in entries],
    }


async def _suggestion_item(trail: Trail, note: CopilotEvent) -> dict[str, Any]:
    entries = await audit.read_entries(trail.engine, subjects=[note.id])
    return {
        "label": notice("ai_label", "zh-Hans"),
        "event": asdict(note),
        "erased": note.erased,
        "broken": await audit.check_event(trail, note.id),
        "entries": [_proof(entry) for entry in entries],
    }


def _proof(entry: Entry) -> dict[str, Any]:
    """A row with its body as the text that was hashed."""
    return asdict(entry)


def _start_of(day: date | None) -> datetime | None:
    if day is None:
        return None
    return datetime.combine(day, time(), ZoneInfo("Asia/Shanghai")).astimezone(UTC)


def _line(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str) + "\n"


def _write(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8", errors="replace")


def _add(file: Path, text: str) -> None:
    with file.open("a", encoding="utf-8", errors="replace") as out:
        out.write(text)
