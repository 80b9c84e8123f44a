"""`POST /v1/check` and `GET /v1/rules`: texts checked by the compliance rules, and the rules."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from assistant.compliance import (
    BadMessage,
    read_message,
    review_as_json,
    review_given,
    rule_as_json,
)
from assistant.deps import Deps
from assistant.elements import append_required, completed_as_json, review_completed
from assistant.likeness import review_likeness
from assistant.models import today
from assistant.rules import RulePackError, load_rules
from assistant.wording import review_wording
from prompts.render import notice

from .chat import FromDeps
from .problems import documented, locale_of, problem
from .schemas import PACK, CheckedBody, CheckRequest, RulesBody, WholeRuleBody

router = APIRouter(prefix="/v1", tags=["compliance"])


@router.post(
    "/check", response_model=CheckedBody, responses=documented(400, 401, 403, 413, 422, 500, 503)
)
async def check(body: CheckRequest, request: Request, deps: FromDeps) -> dict[str, Any] | Response:
    """Check a text by the rules in force."""
    try:
        return await check_text(body, deps)
    except CannotCheck as error:
        fields = [{"field": error.field, "problem": error.problem}]
        return problem(422, notice("bad_request", await locale_of(request)), fields=fields)


class CannotCheck(Exception):
    """A field of a request does not say by what its text is to be checked."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


async def check_text(body: CheckRequest, deps: Deps) -> dict[str, Any]:
    """What the rules in force say of a text, as CheckedBody. Raises CannotCheck."""
    row = body.model_dump(exclude={"on", "pack", "semantic", "append", "locale"})
    if body.append and body.channel is None:
        raise CannotCheck("channel", "expected a channel to complete the text for")
    field = "context"
    try:
        rules = deps.rules
        if body.pack not in (None, rules.jurisdiction):
            field = "pack"
            rules = await asyncio.to_thread(load_rules, body.pack, deps.settings.rules)
            if body.semantic or body.append:
                raise BadMessage(f"semantic, append: expected the pack {deps.rules.jurisdiction!r}")
            field = "context"
        given = read_message(rules, row, on=body.on, today=today())
    except (BadMessage, RulePackError) as error:
        raise CannotCheck(field, str(error)) from None
    # A long text takes a second, in which others are answered too.
    found = await asyncio.to_thread(review_given, rules, given)
    if body.semantic:
        found = await asyncio.to_thread(
            review_likeness,
            await deps.likeness(),
            found,
            given.text,
            task=given.task,
            channel=given.channel,
            on=given.on,
        )
        found = await asyncio.to_thread(review_wording, rules, found, given)
    if not body.append:
        return review_as_json(found)
    facts = await deps.facts(given.on)

    def complete() -> dict[str, Any]:
        completed = append_required(rules, deps.channels, given, facts, body.locale)
        return completed_as_json(completed, review_completed(rules, given, completed))

    return {**review_as_json(found), "completed": await asyncio.to_thread(complete)}


@router.get("/rules", response_model=RulesBody, responses=documented(401, 403, 422, 500))
async def list_rules(
    request: Request, deps: FromDeps, pack: Annotated[str | None, Query(pattern=PACK)] = None
) -> dict[str, Any] | Response:
    """All rules of the server, or of another pack, in the order of their files, and what they may
    ask about a message."""
    found = deps.rules
    try:
        if pack not in (None, found.jurisdiction):
            found = await asyncio.to_thread(load_rules, pack, deps.settings.rules)
    except RulePackError as error:
        fields = [{"field": "pack", "problem": str(error)}]
        return problem(422, notice("bad_request", await locale_of(request)), fields=fields)
    return {
        "rules": [rule_as_json(rule) for rule in found.rules],
        "rules_version": found.version,
        "pack": found.jurisdiction,
        "packs": deps.packs,
        "context": found.context_keys,
    }


@router.get(
    "/rules/{rule_id}", response_model=WholeRuleBody, responses=documented(401, 403, 404, 422, 500)
)
async def show_rule(rule_id: str, request: Request, deps: FromDeps) -> dict[str, Any] | Response:
    """One rule with its sources and examples."""
    rule = deps.rules.by_id.get(rule_id)
    if rule is None:
        return problem(404, notice("not_found", await locale_of(request)))
    return rule_as_json(rule, full=True)
