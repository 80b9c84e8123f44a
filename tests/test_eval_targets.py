"""Whoever is asked: a deployment over HTTP is scored as the pipeline is, a bot of others by its
text, and an endpoint that is neither fails the run by its name."""

from __future__ import annotations

import asyncio
import gc
import json
import shutil
import subprocess
import sys
import warnings
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from assistant.api.app import create_app
from assistant.deps import Deps
from assistant.models import Contact, Reply, Sentence
from assistant.rules import load_rules
from evals.metrics import METRICS
from evals.planted import planted
from evals.pytest_cases import open_cases
from evals.records import read_cases, read_info
from evals.results import Outcome
from evals.run import evaluate
from evals.schema import Case
from evals.suites import SUITES, AnySuite, Suite
from evals.targets import (
    BOT,
    Bot,
    CaseUnanswered,
    Deployment,
    EndpointFault,
    broken_rules,
    open_endpoint,
    open_pipeline,
)
from evals.wording import language_of, named, offers_contact, read_status

from .conftest import CORPUS, settings_for
from .openai_stub import Behaviour, Stub, fails, hangs, openai_stub, says, sends
from .test_api import listening
from .test_evals import ASKED, row, suite_of

ANSWERS = SUITES["answers"]
assert isinstance(ANSWERS, Suite)
CLAUSES = {"a": "宽限期为还款日后的 3 个自然日。", "b": "客服热线为 400-000-0000。"}


def case(**changes: Any) -> Case:
    return Case.model_validate(row(**changes))


GRACE = case(text="宽限期几天？", expect={"status": "answered", "facts": [["3 个自然日"]]})
POEM = case(text="写一首诗", expect={"status": "not_covered"})


@asynccontextmanager
async def bot(
    *behaviours: Behaviour, home: Path, retries: int = 0, timeout_s: str = "20"
) -> AsyncIterator[tuple[Bot, Stub]]:
    settings = settings_for(
        home,
        ZHUNXIN_EVAL_TOKEN="secret-token",
        ZHUNXIN_LLM_RETRIES=str(retries),
        ZHUNXIN_LLM_TIMEOUT_S=timeout_s,
    )
    async with openai_stub(*behaviours) as stub:
        target = open_endpoint(
            BOT + stub.base_url, "their-bot", settings, load_rules(), CLAUSES, backoff_s=0.01
        )
        assert isinstance(target, Bot)
        try:
            yield target, stub
        finally:
            await target.close()


# A bot of others ---------------------------------------------------------------------------------


async def test_a_bot_is_asked_with_the_day_and_its_token_and_is_scored_by_its_text(
    tmp_path: Path,
) -> None:
    async with bot(says("宽限期为 3 个自然日。"), home=tmp_path) as (target, stub):
        told = await target.ask(replace_case(GRACE, contract_date="2026-03-01"), ANSWERS, 4)
    sent = stub.requests[0]
    assert (sent["model"], sent["seed"], sent["stream"]) == ("their-bot", 4, False)
    assert "2026-11-23" in sent["messages"][0]["content"]
    assert "2026-03-01" in sent["messages"][0]["content"]
    assert sent["messages"][1] == {"role": "user", "content": "宽限期几天？"}
    assert stub.headers[0]["authorization"] == "Bearer secret-token"
    assert (told.tokens_in, told.tokens_out, told.model) == (7, 5, "stub")
    assert told.latency_ms > 0
    verdicts = {name: metric.check(GRACE, told.seen) for name, metric in METRICS.items()}
    passed = {name for name, check in verdicts.items() if check and check.passed}
    assert passed >= {"status", "facts", "figures", "rules", "right"}
    for silent in ("verbatim", "source", "citation_recall", "citation_precision", "in_force"):
        assert verdicts[silent] is None


def replace_case(given: Case, **changes: Any) -> Case:
    return Case.model_validate(given.model_dump(mode="json") | changes)


@pytest.mark.parametrize(
    ("text", "metric", "passed"),
    [
        ("宽限期为 7 个自然日。", "figures", False),
        ("宽限期为 7 个自然日。", "facts", False),
        ("放心，审批百分百通过，您一定能下款。", "rules", False),
        ("抱歉，没有找到相关内容，请拨打客服热线 400-000-0000。", "status", False),
    ],
)
async def test_what_a_bot_says_wrongly_is_found(
    tmp_path: Path, text: str, metric: str, passed: bool
) -> None:
    async with bot(says(text), home=tmp_path) as (target, _):
        told = await target.ask(GRACE, ANSWERS, 0)
    check = METRICS[metric].check(GRACE, told.seen)
    assert check is not None
    assert check.passed is passed


async def test_a_bot_that_says_no_and_offers_a_person_is_understood(tmp_path: Path) -> None:
    text = "抱歉，我無法回答這個問題，您可以致電客服熱線。"
    async with bot(says(text), home=tmp_path) as (target, _):
        told = await target.ask(POEM, ANSWERS, 0)
    for name in ("status", "contact"):
        check = METRICS[name].check(POEM, told.seen)
        assert check is not None
        assert check.passed


async def test_a_bot_that_takes_no_seed_is_asked_without_one(tmp_path: Path) -> None:
    refusal = fails(400, message="unknown field 'seed'")
    async with bot(refusal, says("好"), says("好"), home=tmp_path) as (target, stub):
        await target.ask(GRACE, ANSWERS, 1)
        await target.ask(GRACE, ANSWERS, 2)
    assert ["seed" in request for request in stub.requests] == [True, False, False]


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        (fails(401), "status 401; its key is given as ZHUNXIN_EVAL_TOKEN"),
        (fails(404), "has no /chat/completions, or no model 'their-bot'"),
        (fails(500), "status 500, asked 1 times"),
        (fails(418), "status 418"),
        (sends(b"<html>", content_type="text/html"), "does not speak OpenAI's chat protocol"),
        (sends(b'{"choices": 3}'), "does not speak OpenAI's chat protocol (choices"),
    ],
)
async def test_an_endpoint_that_is_no_such_bot_is_named(
    tmp_path: Path, behaviour: Behaviour, message: str
) -> None:
    async with bot(behaviour, home=tmp_path) as (target, stub):
        with pytest.raises(EndpointFault) as raised:
            await target.ask(GRACE, ANSWERS, 0)
    assert message in str(raised.value)
    assert stub.base_url in str(raised.value)
    assert "secret-token" not in str(raised.value)


async def test_a_busy_bot_is_asked_again_and_a_slow_one_is_given_up(tmp_path: Path) -> None:
    busy = fails(429, headers={"retry-after": "0"})
    async with bot(busy, busy, says("好"), home=tmp_path, retries=2) as (target, stub):
        await target.ask(GRACE, ANSWERS, 0)
        assert len(stub.requests) == 3
    later = fails(429, headers={"retry-after": "3600"})
    async with bot(later, home=tmp_path, retries=2) as (target, _):
        with pytest.raises(EndpointFault, match="asked 1 times"):
            await target.ask(GRACE, ANSWERS, 0)
    async with bot(hangs, home=tmp_path, timeout_s="0.2") as (target, _):
        with pytest.raises(EndpointFault, match="no answer in time"):
            await target.ask(GRACE, ANSWERS, 0)


async def test_a_bot_that_says_nothing_leaves_the_case_unanswered(tmp_path: Path) -> None:
    async with bot(says(" "), home=tmp_path) as (target, _):
        with pytest.raises(CaseUnanswered):
            await target.ask(GRACE, ANSWERS, 0)


@pytest.mark.parametrize(
    ("address", "model", "message"),
    [
        ("ftp://somewhere", "", "is no address"),
        ("localhost:8000", "", "is no address"),
        (f"{BOT}https://bot.example/v1", "", "give --model"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    tmp_path: Path, address: str, model: str, message: str
) -> None:
    with pytest.raises(EndpointFault, match=message):
        open_endpoint(address, model, settings_for(tmp_path), load_rules(), {})


# A deployment ------------------------------------------------------------------------------------


async def test_a_deployment_is_scored_as_the_pipeline_of_this_process_is(
    deps: Deps, tmp_path: Path
) -> None:
    asked = [case(**each) for each in ASKED]
    asked.append(case(id="blank", text=" ", expect={"status": "rejected"}))
    here = await open_pipeline(deps)
    async with listening(create_app(deps.settings, deps)) as url:
        there = open_endpoint(url, "", deps.settings, deps.rules, {})
        assert isinstance(there, Deployment)
        try:
            for each in asked:
                own = await here.ask(each, ANSWERS, 0)
                told = await there.ask(each, ANSWERS, 0)
                for name, metric in METRICS.items():
                    if name not in ("known", "first", "within_five"):
                        ours, theirs = metric.check(each, own.seen), metric.check(each, told.seen)
                        assert (theirs and theirs.passed) == (ours and ours.passed), (each, name)
                if own.seen.reply is not None:
                    assert (told.cited, told.model) == (own.cited, own.model)
        finally:
            await there.close()


async def test_an_endpoint_that_is_no_deployment_is_named(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, ZHUNXIN_LLM_RETRIES="0")
    for behaviour, message in (
        (fails(401), "ZHUNXIN_EVAL_TOKEN"),
        (fails(404), "status 404 for /v1/chat"),
        (sends(b'{"answer": "x"}'), "does not answer as a deployment"),
    ):
        async with openai_stub(behaviour) as stub:
            target = open_endpoint(stub.base_url, "", settings, load_rules(), {})
            with pytest.raises(EndpointFault, match=message):
                await target.ask(GRACE, ANSWERS, 0)
            await target.close()


# Runs --------------------------------------------------------------------------------------------


async def run(names: Sequence[AnySuite], deps: Deps, folder: Path, **more: Any) -> Outcome:
    """`evaluate`, with the streams that inspect-ai leaves open collected here and now."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            return await evaluate(names, deps, folder=folder, **more)
        finally:
            gc.collect()


async def test_a_run_keeps_who_ran_what_and_what_came_of_each_asking(
    deps: Deps, tmp_path: Path
) -> None:
    suite = suite_of(tmp_path, ASKED[:2], "answers")
    folder = tmp_path / "report"
    outcome = await run([suite, SUITES["compliance-dev"]], deps, folder, limit=2, seeds=2)
    info, records = read_info(folder), list(read_cases(folder))
    assert info.seeds == 2
    assert info.versions["rules"] == deps.rules.version
    assert info.versions["release"] == (await deps.index()).release.id
    assert info.versions["model"] == "extractive"
    assert [each.name for each in info.suites] == ["answers", "compliance-dev"]
    assert info.suites[0].metrics == {name: METRICS[name].version for name in suite.metrics}
    assert [(r.suite, r.case, r.seed) for r in records if r.suite == "answers"] == [
        ("answers", "early", 0),
        ("answers", "old", 0),
        ("answers", "early", 1),
        ("answers", "old", 1),
    ]
    assert all(r.passed and r.latency_ms > 0 and r.said for r in records if r.suite == "answers")
    assert sum(r.suite == "compliance-dev" for r in records) == 2
    assert outcome.suites[0].metrics["right"].n == 2
    assert not list(folder.glob("part-*"))
    logs = {name.split("_")[1] for name in (log.name for log in folder.glob("*.eval"))}
    assert logs == {"answers", "compliance-dev"}


async def test_an_endpoint_that_is_down_ends_the_run_by_its_name(
    deps: Deps, tmp_path: Path
) -> None:
    suite = suite_of(tmp_path, ASKED, "answers")
    folder = tmp_path / "report"
    quick = replace(deps, settings=deps.settings.model_copy(update={"llm_retries": 0}))
    with pytest.raises(EndpointFault, match=r"http://127\.0\.0\.1:9: cannot be reached"):
        await run([suite], quick, folder, endpoint="http://127.0.0.1:9")
    assert not (folder / "results.json").exists()


async def test_what_only_a_pipeline_can_do_is_not_run_at_an_endpoint(
    deps: Deps, tmp_path: Path
) -> None:
    async with openai_stub() as stub:
        outcome = await run(
            [SUITES[name] for name in ("masking", "injection-documents", "compliance-dev")],
            deps,
            tmp_path / "report",
            limit=1,
            endpoint=stub.base_url,
        )
    assert [bool(suite.not_run) for suite in outcome.suites] == [True, True, True]


async def test_messages_that_were_judged_before_a_stop_are_not_judged_again(
    deps: Deps, tmp_path: Path
) -> None:
    folder = tmp_path / "report"
    done: list[int] = []

    class Enough(Exception):
        pass

    def stop(stage: str, count: int, total: int) -> None:
        if count == 3:
            raise Enough

    with pytest.raises(Enough):
        await run([SUITES["compliance-dev"]], deps, folder, limit=5, progress=stop)
    outcome = await run(
        [SUITES["compliance-dev"]],
        deps,
        folder,
        limit=5,
        progress=lambda stage, count, total: done.append(count),
    )
    assert done[0] >= 2
    assert outcome.suites[0].n == 5


async def test_planted_documents_stand_beside_the_live_release_and_not_in_it(
    deps: Deps, tmp_path: Path
) -> None:
    folder = tmp_path / "planted"
    folder.mkdir()
    text = "# 家电须知\n\n家电安装须在购买后的 20 日内预约。\n"
    (folder / "notice.md").write_text(text, encoding="utf-8")
    lender = tmp_path / "lender"
    lender.mkdir()
    shutil.copy(CORPUS / "lender" / "early-settlement.md", lender)
    here = replace(deps, settings=deps.settings.model_copy(update={"home": tmp_path / "home"}))
    day = date(2026, 11, 23)
    async with planted(here, folder, day, lambda *at: None, beside=[lender]) as opened:
        sources = {clause.source for clause in (await opened.index()).clauses}
    assert sources == {"notice.md", "early-settlement.md"}
    assert "notice.md" not in {clause.source for clause in (await deps.index()).clauses}


# Wording -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("宽限期为三天", "zh-Hans"),
        ("寬限期為三天", "zh-Hant"),
        ("The grace period is three days", "en"),
        ("The clauses say: 宽限", "en"),
    ],
)
def test_a_language_is_told_by_its_characters(text: str, language: str) -> None:
    assert language_of(text) == language


def test_wording_is_found_whatever_its_script_and_latin_words_as_whole_ones() -> None:
    assert read_status("3 个自然日") == "answered"
    assert read_status("很抱歉，沒有找到") == "not_covered"
    assert read_status("I don't know that.") == "not_covered"
    assert offers_contact("請聯繫客服")
    assert named("the APR is", "tone", "jargon") == ["APR"]
    assert named("in April", "tone", "jargon") == []


# pytest ------------------------------------------------------------------------------------------


def pytest_of(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "evals.pytest_plugin", "-q", *options],
        cwd=folder,
        env={"PYTHONPATH": str(Path(__file__).parent.parent), "PATH": "/usr/bin:/bin", **QUIET},
        capture_output=True,
        text=True,
        timeout=120,
    )


QUIET = {"ZHUNXIN_LLM_RETRIES": "0", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


async def test_a_bot_gets_the_same_checks_as_items_of_pytest(tmp_path: Path) -> None:
    rows = [
        row(id="grace", text="宽限期几天？", expect=GRACE.expect.model_dump(mode="json")),
        row(id="rate", text="年利率多少？", expect={"status": "answered", "facts": [["7.2%"]]}),
    ]
    lines = (json.dumps(each, ensure_ascii=False) for each in rows)
    (tmp_path / "mine.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "test_own.py").write_text("def test_own(): raise SystemExit(9)", encoding="utf-8")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "conftest.py").touch()
    async with openai_stub(says("宽限期为 3 个自然日。"), says("年利率 3.33%。")) as stub:
        endpoint = f"{BOT}{stub.base_url}"
        ran = await asyncio.to_thread(
            pytest_of, tmp_path, "--zhunxin-eval", "mine.jsonl", "--endpoint", endpoint,
            "--model", "theirs",
        )  # fmt: skip
    assert "1 failed, 1 passed" in ran.stdout, ran.stdout + ran.stderr
    assert "said:     [answered] 年利率 3.33%。" in ran.stdout
    assert "facts: wanted 7.2%; got" in ran.stdout
    assert ran.returncode == 1


@pytest.mark.parametrize(
    ("suite", "endpoint", "message"),
    [
        ("answers", "", "give --endpoint URL"),
        ("nosuch", "http://x", "no suite 'nosuch'"),
        ("retrieval", "http://x", "cannot be asked of an endpoint"),
        ("answers", f"{BOT}http://x", "give --model"),
    ],
)
def test_a_wrong_call_of_the_plugin_is_told_in_a_line(
    suite: str, endpoint: str, message: str
) -> None:
    with pytest.raises(pytest.UsageError, match=message):
        open_cases([suite], endpoint, "")


def test_without_its_option_the_plugin_takes_no_names_and_loads_nothing(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(
        "def pytest_addoption(parser):\n    parser.addoption('--endpoint')\n", encoding="utf-8"
    )
    (tmp_path / "test_own.py").write_text(
        "import sys\ndef test_own(request):\n"
        "    assert request.config.getoption('--endpoint') == 'mine'\n"
        "    assert not {'assistant', 'evals.targets', 'inspect_ai', 'numpy'} & set(sys.modules)\n",
        encoding="utf-8",
    )
    ran = pytest_of(tmp_path, "--endpoint", "mine")
    assert "1 passed" in ran.stdout, ran.stdout + ran.stderr


# Rules


@pytest.mark.parametrize(
    ("said", "contact", "broken"),
    [
        ("利息合计 1,365.98 元。", None, ("CN-AI-02",)),
        ("利息合计 1,365.98 元。", Contact("400-000-0000", "9:00 至 18:00"), ()),
        ("利息合计 1,365.98 元。", Contact(), ()),
        ("您放心，一定能批下来。", Contact("400-000-0000", "9:00 至 18:00"), ("CN-PROM-01",)),
    ],
)
def test_a_rule_that_asks_for_a_person_is_kept_by_the_offer_and_no_other_is(
    said: str, contact: Contact | None, broken: tuple[str, ...]
) -> None:
    reply = Reply("answered", (Sentence(said, "model"),), contact=contact)
    case = Case.model_validate(row(id="upset", text="利息多少啊，气死我了，别给我绕"))
    found = broken_rules(load_rules(), case, reply, date(2026, 11, 23))
    assert set(broken) <= set(found)
    assert ("CN-AI-02" in found) == ("CN-AI-02" in broken)
