"""Replay: a reply is made again from what was recorded, and compared byte for byte.

The real pipeline runs over the pinned release, wording and lender, with models that do again what
they did then; no model is asked. So it holds that the reply follows from what was recorded.
"""

from __future__ import annotations

import asyncio
import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal, TypeVar

from knowledge.embed import Embedder, EmbeddingUnavailable, RecordedEmbedder, Vectors
from knowledge.lender import Lender, of_text
from knowledge.rerank import RecordedRanks
from knowledge.retrieve import Index, open_index
from knowledge.terms import of_text as terms_of_text
from knowledge.vectors import VectorsMissing
from prompts.render import pinned

from . import audit, journal
from .answer import answer_again
from .approved import ApprovedError
from .approved import of_text as approved_of_text
from .asked import ToolsError
from .asked import of_text as tools_of_text
from .conversation import ConversationError
from .conversation import of_text as follow_ups_of_text
from .deps import Deps, Front
from .known import PlayedRecord
from .llm import ModelError, PlayedChat
from .models import LOCALES, Locale, Played, Question
from .privacy import with_stand_ins
from .rules import RulePack, RulePackError
from .rules import of_text as rules_of_text
from .triage import TriageError, nearest_of_text
from .triage import of_text as triage_of_text

Outcome = Literal["identical", "different", "erased", "open", "missing", "broken"]
"""`open`: it is still being answered, or its process ended. `missing`: something it was made with
is not here. `broken`: the record is not the one that was entered in the chain."""

NOT_COMPARED = ("timings", "record_id", "conversation_id")
"""Parts of a stored reply that are not made again."""

_DIFFERENCES = 20

_T = TypeVar("_T")


class UnknownRecord(Exception):
    """No record has this id."""


class _Missing(Exception):
    """An ingredient of the reply is not here; the message names it."""


class _Erased(Exception):
    """An earlier message that the reply leaned on was erased."""


@dataclass(frozen=True, slots=True)
class Replay:
    """What came of making a reply again."""

    record_id: str
    outcome: Outcome
    differences: tuple[str, ...] = ()
    """Lines of a diff between the recorded reply and that made now."""
    missing: str = ""
    """The ingredient that is not here."""
    code: tuple[str, str] = ("", "")
    """Version of the program that answered, and of this one."""

    @property
    def identical(self) -> bool:
        return self.outcome == "identical"

    def as_json(self) -> dict[str, Any]:
        made: dict[str, Any] = {
            "record_id": self.record_id,
            "identical": self.identical,
            "outcome": self.outcome,
        }
        if self.differences:
            made["diff"] = list(self.differences)
        if self.missing:
            made["missing"] = self.missing
        if self.code[0] != self.code[1]:
            made["code"] = {"recorded": self.code[0], "running": self.code[1]}
        return made


@dataclass(slots=True)
class Player:
    """Replays records; opens each release once."""

    deps: Deps
    _indexes: dict[str, Index] = field(default_factory=dict)
    _packs: dict[str, RulePack] = field(default_factory=dict)

    async def replay(self, record_id: str) -> Replay:
        """Raises UnknownRecord."""
        deps = self.deps
        state = await audit.check_record(deps.trail, record_id)
        if state is None:
            raise UnknownRecord(record_id)
        code = (state.code_version, deps.code_version)
        if state.broken:
            return Replay(record_id, "broken", (state.broken,), code=code)
        if state.erased:
            return Replay(record_id, "erased", code=code)
        record = await journal.read_record(deps.engine, record_id)
        if record is None:
            raise UnknownRecord(record_id)
        if record["reply"] is None:
            return Replay(record_id, "open", code=code)
        try:
            before, after = await self._both(record)
        except _Missing as error:
            return Replay(record_id, "missing", missing=str(error), code=code)
        except _Erased:
            return Replay(record_id, "erased", code=code)
        differences = _differences(before, after)
        return Replay(
            record_id, "different" if differences else "identical", differences, code=code
        )

    async def _both(self, record: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The reply as it was recorded, and as it is made now. Raises _Missing, _Erased."""
        if record["played"] is None or record["texts"] is None:
            raise _Missing("what the models did: recorded by a version that did not keep it")
        try:
            played = journal.read_played(record)
        except (KeyError, TypeError, ValueError, StopIteration) as error:
            raise _Missing(f"what the models did: kept in another form ({error!r})") from None
        texts = await self._texts(record["texts"])
        history = await journal.earlier_again(self.deps.engine, played.earlier)
        if len(history) < len(played.earlier):
            raise _Erased
        index = await self._index(record["release"])
        model = _model(played)
        embedder = RecordedEmbedder(await self._embedder(), played.vectors)
        ranks = RecordedRanks(None, played.order) if played.order is not None else None
        parts = self.deps.playing(
            index,
            _lender(texts),
            embedder,
            model,
            ranks,
            await self._rules(texts.get("rules"), record["texts"].get("rules", "")),
            model if "zh/verify" in texts and isinstance(model, PlayedChat) else None,
            _front(texts),
            PlayedRecord(played.customer) if played.customer is not None else None,
        )
        settings = record["settings"]
        question = Question(
            text=record["question"],
            today=date.fromisoformat(settings["today"]),
            locale=_locale(settings["locale"]),
            as_of=_day(settings["as_of"]),
            contract_date=_day(settings["contract_date"]),
            subject=settings.get("subject", ""),
        )
        masked = with_stand_ins(record["question"], settings["masked"])
        with pinned(texts):
            reply, used = await answer_again(question, masked, parts, history)
        calls = {"made": len(played.turns), "other_prompts": []}
        before = _comparable(record["reply"], record["evidence"], record["texts"], calls)
        after = _comparable(
            journal.reply_as_json(reply),
            reply.evidence_ids,
            {text.name: text.version for text in used},
            {
                "made": len(played.turns)
                - (model.left_over if isinstance(model, PlayedChat) else 0),
                "other_prompts": model.other_prompts if isinstance(model, PlayedChat) else [],
            },
        )
        if record["status"] == "unanswered":
            after = _as_far_as(before, after)
        return before, after

    async def _texts(self, versions: Mapping[str, str]) -> dict[str, str]:
        """The wording of a reply by name. Raises _Missing."""
        kept = await journal.read_texts(self.deps.engine, versions.values())
        for name, version in versions.items():
            if version not in kept:
                raise _Missing(f"the text {name} of version {version}")
        return {name: kept[version] for name, version in versions.items()}

    async def _index(self, release_id: str) -> Index:
        """Raises _Missing."""
        live = self.deps.opened
        if live is not None and live.release.id == release_id:
            return live
        if release_id not in self._indexes:
            try:
                opened = await open_index(self.deps.engine, self.deps.vector_store, release_id)
            except KeyError:
                raise _Missing(f"the release {release_id}") from None
            except VectorsMissing as error:
                raise _Missing(str(error)) from None
            # One at a time: a hundred thousand clauses take some hundred megabytes.
            self._indexes = {release_id: opened}
        return self._indexes[release_id]

    async def _rules(self, text: str | None, version: str) -> RulePack:
        """The rules of a reply. Raises _Missing."""
        if text is None:
            raise _Missing("the rules: recorded by a version that had none")
        if version == self.deps.rules.version:
            return self.deps.rules
        if version not in self._packs:
            try:
                # Putting the patterns together takes a second, in which others are answered too.
                self._packs = {version: await asyncio.to_thread(rules_of_text, text)}
            except RulePackError as error:
                raise _Missing(f"the rules of version {version}: {error}") from None
            if self._packs[version].version != version:
                raise _Missing(f"the rules of version {version}: the text kept is another")
        return self._packs[version]

    async def _embedder(self) -> Embedder:
        """For texts whose vectors were not recorded: the local one, or none, never an endpoint."""
        if self.deps.settings.embeddings != "local":
            return _NoEmbedder()
        try:
            return await self.deps.embedder()
        except EmbeddingUnavailable:
            return _NoEmbedder()


class _NoEmbedder:
    """Stands where vectors would come from an endpoint."""

    name = "none"

    def passages(self, texts: Sequence[str]) -> Vectors:
        raise _Missing("a vector that was not recorded")

    def query(self, text: str) -> Vectors:
        raise _Missing("a vector that was not recorded")


def _lender(texts: Mapping[str, str]) -> Lender:
    """Whose assistant it was. Raises _Missing."""
    try:
        return of_text(texts["lender"])
    except (KeyError, TypeError, ValueError) as error:
        raise _Missing(f"the lender: kept in another form, or not at all ({error!r})") from None


def _front(texts: Mapping[str, str]) -> Front:
    """What a message met before anything was looked up. Raises _Missing."""

    def read(name: str, of_text: Callable[[str], _T]) -> _T | None:
        return of_text(texts[name]) if name in texts else None

    try:
        return Front(
            triage=read("triage", triage_of_text),
            triage_nearest=read("triage_nearest", nearest_of_text),
            approved=read("approved", approved_of_text),
            approved_nearest=read("approved_nearest", nearest_of_text),
            follow_ups=read("follow_ups", follow_ups_of_text),
            tools=read("tools", tools_of_text),
            terms=read("terms", terms_of_text),
        )
    except (
        TriageError,
        ApprovedError,
        ConversationError,
        ToolsError,
        TypeError,
        ValueError,
    ) as error:
        raise _Missing(
            f"triage, tools, follow-ups or approved answers: in another form ({error})"
        ) from None


def _locale(code: str) -> Locale:
    """Raises _Missing."""
    for known in LOCALES:
        if known == code:
            return known
    raise _Missing(f"the language {code!r}")


def _model(played: Played) -> PlayedChat | ModelError | None:
    """What stands for the model: an error where none could be started."""
    if not played.wanted_model:
        return None
    if played.turns and played.turns[0].call == "open":
        return ModelError("none was started the first time")
    return PlayedChat(played.turns, played.way or "select")


def _comparable(
    reply: Mapping[str, Any],
    evidence: Sequence[str],
    texts: Mapping[str, str],
    calls: Mapping[str, Any],
) -> dict[str, Any]:
    return {
        "reply": {name: value for name, value in reply.items() if name not in NOT_COMPARED},
        "evidence": list(evidence),
        "texts": dict(texts),
        "model_calls": dict(calls),
    }


def _as_far_as(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """A reply made again, up to where the recorded one broke off."""
    made = dict(before["reply"])
    for name in ("sentences", "citations", "withheld"):
        made[name] = after["reply"][name][: len(made[name])]
    made["answer"] = "\n".join(sentence["text"] for sentence in made["sentences"])
    return {**before, "reply": made}


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """Nothing where both are the same bytes."""
    one, other = (
        json.dumps(value, ensure_ascii=False, sort_keys=True, indent=1) for value in (before, after)
    )
    if one == other:
        return ()
    lines = difflib.unified_diff(
        one.splitlines(), other.splitlines(), "recorded", "made again", lineterm="", n=0
    )
    return tuple(list(lines)[:_DIFFERENCES])


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None
