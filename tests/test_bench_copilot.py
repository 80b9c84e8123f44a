"""How soon the copilot shows what it knows, and checks while 50 agents type: `make bench`."""

from __future__ import annotations

import asyncio
import statistics
import time
from contextlib import aclosing
from datetime import datetime

import pytest

from assistant import copilot, identity
from assistant.copilot import Case
from assistant.customers import MemoryCustomers
from assistant.demo_customers import demo_people, typical
from assistant.deps import Deps
from assistant.llm import ScriptedChat
from assistant.models import Question
from assistant.transcripts import Turn
from assistant.wrap_up import ZONE
from evals.suites import SUITES, Suite
from tests.test_answer import choosing

pytestmark = pytest.mark.bench

NOW = datetime(2026, 11, 26, 10, 0, tzinfo=ZONE)
OWED = "我现在一次还清要多少钱？"
ASKED = (
    "提前还款要收违约金吗？",
    "逾期几天会上征信？",
    "我失业了，这个月还不上怎么办？",
    "困难帮扶申请多久有结果？",
    "投诉之后多少天给我答复？",
)
DRAFTS = (
    "您的借款可以申请延期还款，我帮您登记。",
    "保证给您办下来，绝对不上征信",
    "您好，我理解您的情况，我们一起看看有哪些办法，您可以先在 App 提交困难帮扶申请。",
)
MOST_MS = 300


def case_of(deps: Deps, text: str, customer_id: str = "") -> Case:
    return copilot.case_of_turns(
        "bench",
        [Turn("borrower", text)],
        now=NOW,
        customer_id=customer_id,
        subject=identity.subject_of(deps.keys, customer_id) if customer_id else "",
    )


async def first_of(case: Case, deps: Deps, *names: str) -> float:
    """Milliseconds to the first event of a name."""
    started = time.perf_counter()
    async with aclosing(copilot.suggest(case, deps, keep=False)) as events:
        async for event in events:
            if event.name in names:
                return (time.perf_counter() - started) * 1000
    raise AssertionError(f"none of {names}")


def quantiles(taken: list[float]) -> tuple[float, float]:
    return statistics.median(taken), statistics.quantiles(taken, n=20)[-1]


async def test_evidence_and_calculation_are_there_at_once(deps: Deps) -> None:
    people = {str(person.state): person.record for person in typical(demo_people(NOW.date()))}
    deps.use_customers(MemoryCustomers(people.values()))
    known = people["active"].customer.id
    await first_of(case_of(deps, ASKED[0]), deps, "sentence")
    answers = SUITES["answers"]
    assert isinstance(answers, Suite)
    # Each asked once, so that nothing of it is remembered; what nothing answers has no evidence.
    asked = [case.text for case in answers.cases() if "answered" in case.expect.status][:60]
    found = [
        await first_of(case_of(deps, text), deps, "evidence", "calculation", "done")
        for text in asked
    ]
    worked = [await first_of(case_of(deps, OWED, known), deps, "calculation") for _ in range(30)]
    for name, taken in (("evidence", found), ("calculation", worked)):
        median, p95 = quantiles(taken)
        print(f"\n{name}: median {median:.0f} ms, p95 {p95:.0f} ms of {len(taken)}")
        assert p95 < MOST_MS


async def test_the_first_sentence_waits_for_no_more_than_the_model(deps: Deps) -> None:
    """Beside a model of 2 s, of which a part is the look-up that shows evidence first."""
    wait_s = 2.0

    class Slow(ScriptedChat):
        async def complete(self, *args, **more):  # type: ignore[no-untyped-def]
            await asyncio.sleep(wait_s)
            return await super().complete(*args, **more)

    said = choosing("起签署的安心贷合同免收提前还款违约金")
    await first_of(case_of(deps, ASKED[0]), deps, "sentence")
    deps.use_model(Slow([said] * 8))
    taken = [await first_of(case_of(deps, ASKED[0]), deps, "sentence") for _ in range(4)]
    plain = []
    for _ in range(4):
        started = time.perf_counter()
        async with aclosing(
            copilot.suggest_answer(Question(ASKED[0], NOW.date(), desk="agent"), deps)
        ) as events:
            async for event in events:
                if event.name == "sentence":
                    plain.append((time.perf_counter() - started) * 1000)
                    break
    ratio = statistics.median(taken) / (wait_s * 1000)
    print(
        f"\nfirst sentence: {statistics.median(taken):.0f} ms, the pipeline alone "
        f"{statistics.median(plain):.0f} ms, the model alone {wait_s * 1000:.0f} ms: {ratio:.3f}"
    )


async def test_drafts_are_checked_while_fifty_type(deps: Deps) -> None:
    case = case_of(deps, ASKED[2])
    for draft in DRAFTS:
        await copilot.check_draft(case, deps, draft)

    async def typing(agent: int) -> list[float]:
        """Five drafts, a pause between them."""
        taken = []
        for turn in range(5):
            await asyncio.sleep(0.4 + (agent * 7 + turn * 13) % 50 / 50)
            started = time.perf_counter()
            await copilot.check_draft(
                case, deps, DRAFTS[(agent + turn) % len(DRAFTS)] + "。" * turn
            )
            taken.append((time.perf_counter() - started) * 1000)
        return taken

    taken = [ms for each in await asyncio.gather(*map(typing, range(50))) for ms in each]
    median, p95 = quantiles(taken)
    print(f"\nchecks of 50 who type: median {median:.0f} ms, p95 {p95:.0f} ms of {len(taken)}")
    assert p95 < 100
