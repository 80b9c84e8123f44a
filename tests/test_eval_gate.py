"""The regression gate on the real pipeline: a part of the committed baseline, and regressions that
are planted in the program's data and code, each of which it has to see.

What `evals/baselines/main.json` holds was measured with quoting in place of a model: exactly.

    ZHUNXIN_LLM=extractive zhunxin ingest --sample
    ZHUNXIN_LLM=extractive zhunxin eval run --save-baseline evals/baselines/main.json

renews it, after a change that is meant: of cases, of a metric's definition, or of what the
assistant says. Vectors differ in their last digits between kinds of machines, so that a case or two
may be judged otherwise elsewhere; that is within what the gate takes for chance.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assistant.deps import Deps
from assistant.llm import Message, ScriptedChat
from assistant.rules import load_rules
from evals.baseline import RunVerdicts, read_baseline, verdicts_of, write_baseline
from evals.records import read_cases, read_info
from evals.results import Outcome
from evals.run import evaluate
from evals.schema import BadCases
from evals.suites import (
    SUITES,
    AddressingSuite,
    ArithmeticSuite,
    CopilotSuite,
    MessageSuite,
    Suite,
)
from prompts.render import pinned

from .openai_stub import hangs, openai_stub, says

ROOT = Path(__file__).parent.parent
MAIN = ROOT / "evals" / "baselines" / "main.json"
RULES = ROOT / "knowledge" / "rules"

Asked = Suite | MessageSuite | ArithmeticSuite | AddressingSuite | CopilotSuite


@pytest.fixture(scope="module")
def main_baseline() -> RunVerdicts:
    return read_baseline(MAIN)


def write_part(file: Path, ids: Collection[str], into: Path) -> Path:
    """The cases of these ids, in a file of their own."""
    into.parent.mkdir(parents=True, exist_ok=True)
    lines = file.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if line and json.loads(line)["id"] in ids]
    assert len(kept) == len(ids)
    into.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
    return into


def part_of(name: str, ids: Collection[str], folder: Path) -> Asked:
    suite = SUITES[name]
    assert isinstance(suite, Asked)
    return replace(suite, file=write_part(suite.file, ids, folder / f"{name}.jsonl"))


async def run(
    suites: Sequence[Asked],
    deps: Deps,
    folder: Path,
    held_to: RunVerdicts | None = None,
    **more: Any,
) -> Outcome:
    """`evaluate`, with the streams that inspect-ai leaves open collected here and now."""
    baseline = (folder / "baseline.json", held_to) if held_to else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            return await evaluate(suites, deps, folder=folder, baseline=baseline, **more)
        finally:
            gc.collect()


def verdicts_in(folder: Path) -> RunVerdicts:
    return verdicts_of(read_info(folder), read_cases(folder))


def gate_of(outcome: Outcome) -> list[dict[str, Any]]:
    assert outcome.comparison is not None
    return outcome.comparison.regressions()


# A part of the committed baseline ----------------------------------------------------------------


async def test_the_assistant_is_no_worse_than_its_baseline(
    main_baseline: RunVerdicts, deps: Deps, tmp_path: Path
) -> None:
    """A part of each suite, without a model; see above for how the baseline is renewed. Of what
    asks a question half of the quick cases, of the rest every sixteenth; and none of the messages
    that the patterns of the rules were written with, which test_messages.py judges."""
    ids = {
        name: suite.quick[::2] if isinstance(SUITES[name], Suite) else tuple(suite.cases)[::16]
        for name, suite in main_baseline.suites.items()
        if not re.fullmatch("compliance-[a-gi]", name)
    }
    suites = [part_of(name, of, tmp_path) for name, of in ids.items()]
    outcome = await run(suites, deps, tmp_path / "report", main_baseline.part(ids))
    assert outcome.comparison is not None
    assert outcome.comparison.passed, outcome.comparison.as_text()


def test_the_committed_baseline_is_of_the_committed_cases(main_baseline: RunVerdicts) -> None:
    for name, held in main_baseline.suites.items():
        suite = SUITES[name]
        assert isinstance(suite, Asked)
        assert [case.id for case in suite.cases()] == [*held.cases], f"{name}: see the docstring"
    assert main_baseline.versions["model"] == "extractive"


@pytest.mark.model
async def test_with_the_local_model_nothing_wrong_is_shown(
    main_baseline: RunVerdicts, deps: Deps, server_url: str, tmp_path: Path
) -> None:
    """What it chooses may change with the machine; that all of it is proved may not."""
    ids = main_baseline.suites["answers"].quick[::8]
    suites = [part_of("answers", ids, tmp_path)]
    # As long as the server gives its model: what is said counts here, not how soon.
    deps.settings = deps.settings.model_copy(update={"llm_timeout_s": 300.0})
    await run(suites, deps, tmp_path / "report", endpoint=server_url)
    records = [*read_cases(tmp_path / "report")]
    assert len(records) == len(ids)
    assert not [record for record in records if record.critical or record.fault]
    assert any(record.checks["verbatim"].passed for record in records if record.cited)


# Planted: a rule is removed ----------------------------------------------------------------------


def without_rule(rule: str, folder: Path, *, keep_its_name: bool) -> Path:
    """A copy of the rule packs in which a rule is missing, or finds nothing."""
    shutil.copytree(RULES, folder)
    for file in folder.glob("*.toml"):
        parts = re.split(r"^(?=\[\[rules\]\]$)", file.read_text(encoding="utf-8"), flags=re.M)
        kept = [part for part in parts if f'id = "{rule}"' not in part]
        if len(kept) == len(parts):
            continue
        if keep_its_name:
            [found] = [part for part in parts if part not in kept]
            head = found[: found.index("[[rules.triggers]]")]
            kept.append(head + "[[rules.triggers]]\npatterns = ['zzqq']\n")
        file.write_text("".join(kept), encoding="utf-8")
        return folder
    raise AssertionError(f"no pack has {rule}")


async def test_a_rule_that_finds_nothing_any_more_fails_the_gate(
    main_baseline: RunVerdicts, deps: Deps, tmp_path: Path
) -> None:
    dev = SUITES["compliance-dev"]
    assert isinstance(dev, MessageSuite)
    about_it = [case.id for case in dev.cases() if "CN-PROM-01" in case.expect.rules]
    ids = {*about_it, *main_baseline.suites["compliance-dev"].quick}
    held_to = main_baseline.part({"compliance-dev": [*ids]})
    suite = [part_of("compliance-dev", ids, tmp_path)]
    blunted = without_rule("CN-PROM-01", tmp_path / "rules", keep_its_name=True)
    deps.rules = load_rules(shipped=blunted)
    outcome = await run(suite, deps, tmp_path / "planted", held_to)
    drops = {drop["metric"]: drop for drop in gate_of(outcome)}
    assert drops["exact"]["kind"] == "drop"
    assert set(drops["exact"]["cases"]) <= {*about_it}
    assert not outcome.passed


async def test_a_rule_that_is_gone_stops_the_run_by_its_name(deps: Deps, tmp_path: Path) -> None:
    deps.rules = load_rules(
        shipped=without_rule("CN-PROM-01", tmp_path / "rules", keep_its_name=False)
    )
    suite = SUITES["compliance-dev"]
    assert isinstance(suite, MessageSuite)
    with pytest.raises(BadCases, match="no rule 'CN-PROM-01'"):
        await run([suite], deps, tmp_path / "report")


# Planted: a prompt that invites promises ---------------------------------------------------------


def follow(messages: Sequence[Message]) -> str:
    """A model that does as its prompt says: the first clause, and a promise unless it is told not
    to."""
    asked = messages[1].text
    if len(messages) > 2:
        return "[无]"
    sentence = re.search(r"^\[1\] (.*?)[。；]?$", asked, re.M)
    assert sentence is not None
    forbidden = "不承诺" in messages[0].text
    return f"{sentence[1]}[1]。" + ("" if forbidden else "您放心，一定能批下来[1]。")


def inviting() -> Mapping[str, str]:
    """The prompt of a model that writes, with a line that invites promises for the one that
    forbids them."""
    template = (ROOT / "prompts" / "zh" / "draft_system.j2").read_text(encoding="utf-8")
    planted, count = re.subn(r"^4\. .*$", "4. 让客户放心，可以说一定能批。", template, flags=re.M)
    assert count == 1
    return {"zh/draft_system": planted}


async def test_a_prompt_that_invites_promises_fails_the_gate(
    main_baseline: RunVerdicts, deps: Deps, tmp_path: Path
) -> None:
    """The reply gate withholds what the model then writes, so that no borrower sees it; that so
    much is withheld is what fails here."""
    ids = main_baseline.suites["answers"].quick[:16]
    suite = [part_of("answers", ids, tmp_path)]
    deps.use_model(ScriptedChat([follow] * 60, way="draft"))
    await run(suite, deps, tmp_path / "before")
    before = verdicts_in(tmp_path / "before")
    assert not any(found.critical for found in before.suites["answers"].cases.values())
    deps.use_model(ScriptedChat([follow] * 60, way="draft"))
    with pinned(inviting()):
        outcome = await run(suite, deps, tmp_path / "planted", before)
    assert [(r["kind"], r["metric"]) for r in gate_of(outcome)] == [("drop", "shown")]
    assert not outcome.passed
    assert not any("一定能批" in record.said for record in read_cases(tmp_path / "planted"))


# Planted: weights of the search ------------------------------------------------------------------


def copy_program(into: Path) -> Path:
    for room in ("assistant", "evals", "knowledge", "prompts"):
        shutil.copytree(
            ROOT / room, into / room, ignore=shutil.ignore_patterns("__pycache__", "baselines")
        )
    return into


def command(*arguments: str, home: Path, **environ: str) -> tuple[list[str], dict[str, str]]:
    """The command line of the program in the folder it is run in."""
    held = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return [sys.executable, "-m", "assistant", *arguments], {
        **held,
        "ZHUNXIN_HOME": str(home),
        "ZHUNXIN_LLM": "extractive",
        **environ,
    }


def test_broken_weights_of_the_search_fail_the_command(
    main_baseline: RunVerdicts, sample_home: Path, tmp_path: Path
) -> None:
    answers = main_baseline.suites["answers"]
    ids = (*answers.quick, *[case for case in answers.cases if case not in answers.quick][::60])
    program = copy_program(tmp_path / "program")
    cases = program / "evals" / "cases" / "sample_lender.jsonl"
    write_part(cases, ids, cases)
    write_baseline(tmp_path / "b.json", main_baseline.part({"answers": ids}))
    ranking = program / "knowledge" / "ranking.py"
    text = ranking.read_text(encoding="utf-8")
    planted, count = re.subn(
        r'^    "(dense|pairs|words|restated|sentence)": -?[\d.]+,$',
        r'    "\1": 0.0,',
        text,
        flags=re.M,
    )
    assert count == 5
    ranking.write_text(planted, encoding="utf-8")
    call, environ = command(
        "eval", "run", "answers", "--baseline", str(tmp_path / "b.json"),
        "--report", str(tmp_path / "report"), "--json", home=sample_home,
    )  # fmt: skip
    done = subprocess.run(
        call, cwd=program, env=environ, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    assert found["passed"] is False
    assert {"right", "source"} <= {r["metric"] for r in found["regressions"] if r["kind"] == "drop"}
    assert found["comparison"]["versions"]["code"]


# A run that is killed ----------------------------------------------------------------------------


async def test_a_run_that_was_killed_goes_on_where_it_was(
    sample_home: Path, tmp_path: Path
) -> None:
    """The model has answered five questions when it falls silent, and the run is killed."""
    folder = tmp_path / "report"
    silent, killed = asyncio.Event(), asyncio.Event()
    nothing = says('{"ids": []}')

    async def answer(writer: asyncio.StreamWriter, body: dict[str, Any]) -> None:
        if killed.is_set() or len(stub.requests) <= 5:
            await nothing(writer, body)
            return
        silent.set()
        await hangs(writer, body)

    async with openai_stub(*[answer] * 40) as stub:
        call, environ = command(
            "eval", "run", "answers", "--limit", "8", "--report", str(folder), "--json",
            home=sample_home, ZHUNXIN_LLM="openai:stub", ZHUNXIN_LLM_BASE_URL=stub.base_url,
            ZHUNXIN_LLM_WAY="select",
        )  # fmt: skip

        async def start() -> asyncio.subprocess.Process:
            pipe = asyncio.subprocess.PIPE
            return await asyncio.create_subprocess_exec(
                *call, cwd=ROOT, env=environ, stdout=pipe, stderr=pipe
            )

        run = await start()
        await asyncio.wait_for(silent.wait(), 120)
        run.kill()
        await run.communicate()
        assert not (folder / "results.json").exists()
        killed.set()
        before = len(stub.requests)
        again = await start()
        out, err = await asyncio.wait_for(again.communicate(), 120)
        asked = len(stub.requests) - before
    [suite] = json.loads(out)["suites"]
    assert (suite["n"], suite["scored"]) == (8, 8), err.decode()
    assert len([*read_cases(folder)]) == 8
    assert 0 < asked <= 4
