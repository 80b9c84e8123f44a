"""Export for a regulator: records with their rows of the chain, as JSONL and as pages to read."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from prompts.render import notice, page, page_words

from . import audit, copilot_store, handoff, journal, privacy
from .audit import Progress, Spoken, Trail
from .copilot_store import CopilotEvent
from .db import copilot_events, handoff_events, records
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
    """Records and events that are gone, or not the ones that were entered in the chain."""
    chain: str = ""
    """Where the chain itself breaks first, or what it tells of; empty where all of it holds."""


async def export(
    trail: Trail,
    out: Path,
    *,
    conversation_id: str = "",
    first: date | None = None,
    last: date | None = None,
    by: str,
    titles: Mapping[str, str] | None = None,
    progress: Progress = lambda done, total: None,
) -> Exported:
    """Write the records of a conversation, or of days in Asia/Shanghai, to a folder.

    The chain says what belongs there: what was removed since, or moved elsewhere, has its place and
    counts as broken. `records.jsonl`: one record a line, with what speaks against it (`broken`),
    its rows of the chain and its columns as they are stored, from which the salted hashes in those
    rows can be made again. `handoffs.jsonl`: one event of a hand-over to a person a line, with its
    rows of the chain; how a borrower can be reached is masked in it. `copilot.jsonl`: what was
    suggested to agents, what became of it, and wrap-ups, likewise. `texts.jsonl`: the wording the
    records were made with. `conversations/ID.html`: a page for each conversation. `export.json`:
    what was asked for, what a check of the whole chain found (`verified`), and the end of the
    chain. Each of them but the texts and the hand-overs carries the label that AI made what the
    assistant said. That it was exported is entered in the chain.
    titles: of rules, by id, for the pages.
    Raises FolderNotEmpty, journal.UnreadableRecord.
    """
    if await asyncio.to_thread(_is_taken, out):
        raise FolderNotEmpty(f"{out}: expected a new or empty folder")
    since, before = _start_of(first), _start_of(last + timedelta(days=1)) if last else None
    verdict = await audit.verify(trail, progress)
    grouped: dict[str, list[Spoken]] = {}
    for own in await audit.spoken(
        trail, conversation_id=conversation_id, first=since, before=before
    ):
        grouped.setdefault(own.conversation_id, []).append(own)
    if not grouped:
        return Exported(0, 0, str(out), chain=verdict.reason)
    asked = {
        "conversation": conversation_id,
        "from": first and first.isoformat(),
        "to": last and last.isoformat(),
    }
    total = sum(own.table is records for parts in grouped.values() for own in parts)
    head = await audit.append(
        trail,
        "export",
        conversation_id,
        {**asked, "by": by, "records": total, "conversations": len(grouped)},
    )
    await asyncio.to_thread(out.mkdir, 0o700, parents=True, exist_ok=True)
    pages = out / "conversations"
    await asyncio.to_thread(pages.mkdir)
    versions: set[str] = set()
    done = broken = 0
    for conversation, parts in grouped.items():
        items = [await _item(trail, own) for own in parts if own.table is records]
        events = [await _event_item(trail, own) for own in parts if own.table is handoff_events]
        beside = [await _note_item(trail, own) for own in parts if own.table is copilot_events]
        broken += sum(bool(item["broken"]) for item in (*items, *events, *beside))
        for item in items:
            versions |= set((item["record"]["texts"] or {}).values())
        shown = page(
            "conversation",
            conversation=conversation,
            records=items,
            events=_for_page(events, titles or {}),
            beside=[{**each, "said": _said(each)} for each in beside],
            words=page_words("conversation", "zh-Hans"),
            head=head,
            exported_at=head.at,
            label=notice("ai_label", "zh-Hans"),
        )
        await asyncio.to_thread(_write, pages / f"{_file_name(conversation)}.html", shown)
        lines = "".join(_line(item) for item in items)
        await asyncio.to_thread(_add, out / "records.jsonl", lines)
        lines = "".join(_line(event) for event in events)
        await asyncio.to_thread(_add, out / "handoffs.jsonl", lines)
        lines = "".join(_line(note) for note in beside)
        await asyncio.to_thread(_add, out / "copilot.jsonl", lines)
        done += len(items)
        progress(done, total)
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
        "verified": verdict.as_json(),
        "head": head.as_json(),
    }
    await asyncio.to_thread(
        _write, out / "export.json", json.dumps(summary, ensure_ascii=False, indent=2) + "\n"
    )
    return Exported(len(grouped), done, str(out), broken, verdict.reason)


def _file_name(conversation: str) -> str:
    """Ids are made here, of letters and digits; one that was changed in the database must not lead
    out of the folder."""
    if re.fullmatch(r"[0-9A-Za-z_-]{1,64}", conversation):
        return conversation
    return hashlib.sha256(conversation.encode("utf-8", "surrogatepass")).hexdigest()


def _is_taken(out: Path) -> bool:
    return out.exists() and (not out.is_dir() or any(out.iterdir()))


async def _item(trail: Trail, own: Spoken) -> dict[str, Any]:
    # A damaged record ends the export: a page that left it out would look whole.
    record = await journal.read_record(trail.engine, own.id)
    stored = await audit.read_stored(trail.engine, own.id)
    state = await audit.check_record(trail, own.id)
    gone = record is None or stored is None or state is None
    if record is None:
        record = dict.fromkeys(records.c.keys()) | own.row | {"texts": None}
    return {
        "label": notice("ai_label", "zh-Hans"),
        "record": record,
        "gone": gone,
        "erased": record["erased_seq"] is not None,
        "broken": state.broken if state else f"record {own.id} is gone",
        "stored": {name: stored[name] for name in audit.PERSONAL} if stored else {},
        "entries": await _proofs(trail, own),
    }


async def _event_item(trail: Trail, own: Spoken) -> dict[str, Any]:
    event = await handoff.read_event(trail.engine, own.id)
    told = asdict(event) if event else _as_entered(own, HandoffEvent)
    return {
        "event": {**told, "contact": privacy.mask(told["contact"]).text},
        "erased": told["erased"],
        "broken": await audit.check_event(trail, own.id),
        "entries": await _proofs(trail, own),
    }


def _for_page(
    items: Sequence[Mapping[str, Any]], titles: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Events with how a message that a rule stood against stands, with the row of the chain about
    the one that a supervisor judged, and with the rules."""
    # What is not as it was entered may hold anything.
    told = {each["event"]["id"]: {} if each["broken"] else each["event"]["told"] for each in items}
    kinds = {told[each["event"]["id"]].get("held"): each["event"]["kind"] for each in items}
    rows = {each["event"]["id"]: e["seq"] for each in items for e in each["entries"][:1]}
    return [
        {
            **each,
            "stands": _stands(each["event"]["kind"], told[event_id], kinds.get(event_id)),
            "judges": rows.get(told[event_id].get("held")),
            "rules": [
                {"id": found["rule"], "title": titles.get(found["rule"], "")}
                for found in told[event_id].get("findings", ())
            ],
        }
        for each in items
        for event_id in (each["event"]["id"],)
    ]


def _stands(kind: str, told: Mapping[str, Any], judged: str | None) -> str:
    """Whether a message that a rule blocks reached the borrower; empty of others. judged: the kind
    of the last event about it."""
    if kind == "held":
        return {"refused": "refused", "message": "released"}.get(judged or "", "waiting")
    return "sent" if kind == "message" and "override_by" in told else ""


def _said(item: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What an event of the copilot says, by parts with their names."""
    event = item["event"]
    if event["kind"] not in ("suggested", "wrap_up") or item["broken"] or not event["text"]:
        return [("", event["text"])] if event["text"] else []
    held = json.loads(event["text"])
    promised = [("promise", each) for each in held.pop("promises", ())]
    parts = [*held.items(), *promised]
    said = [(name, _in_words(each) if isinstance(each, dict) else each) for name, each in parts]
    return [(name, text) for name, text in said if text]


def _in_words(said: Mapping[str, Any]) -> str:
    """What a promise or a wish says, with its day and amount."""
    names = ("text", "on", "at", "due_on", "amount_cny")
    return " ".join(str(said[name]) for name in names if said.get(name))


async def _note_item(trail: Trail, own: Spoken) -> dict[str, Any]:
    event = await copilot_store.read_note(trail.engine, own.id)
    told = asdict(event) if event else _as_entered(own, CopilotEvent)
    return {
        "label": notice("ai_label", "zh-Hans"),
        "event": told,
        "erased": told["erased"],
        "broken": await audit.check_event(trail, own.id),
        "entries": await _proofs(trail, own),
    }


def _as_entered(own: Spoken, kind: type[HandoffEvent | CopilotEvent]) -> dict[str, Any]:
    """An event that is gone, with what the chain still holds of it."""
    names = [each.name for each in fields(kind)]
    return {name: own.row.get(name) or "" for name in names} | {"erased": False}


async def _proofs(trail: Trail, own: Spoken) -> list[dict[str, Any]]:
    """Its rows, each with its body as the text that was hashed."""
    return [asdict(entry) for entry in await audit.read_entries(trail.engine, subjects=[own.id])]


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
