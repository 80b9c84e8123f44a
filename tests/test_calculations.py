"""Calculations over HTTP and on the command line, and the suite that holds them to figures."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from typer.testing import CliRunner

from assistant.api import calculations
from assistant.api.app import create_app
from assistant.cli import app as command_line
from assistant.loan_math import TOOLS, Coupon, Loan, Repayment
from evals.arithmetic import ArithmeticSuite, calculate_all, load_calculations
from evals.schema import BadCases
from evals.suites import SUITES

from .conftest import settings_for

LOAN: Mapping[str, Any] = {
    "principal_cny": "10000",
    "method": "equal_instalment",
    "annual_rate": "14.4%",
    "terms": 12,
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    """The application without knowledge or a model: nothing calculated needs either."""
    home = tmp_path_factory.mktemp("calculations")
    return create_app(settings_for(home, ZHUNXIN_REQUESTS_PER_MINUTE="10000"))


def calling(app: FastAPI) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")


@pytest.fixture
async def client(served: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with calling(served) as opened:
        yield opened


async def post(client: httpx.AsyncClient, tool: str, body: Any) -> httpx.Response:
    return await client.post(f"/v1/calculations/{tool}", json=body)


async def test_a_schedule_comes_with_table_formula_source_and_rates(
    client: httpx.AsyncClient,
) -> None:
    answer = await post(client, "schedule", {**LOAN, "locale": "en"})
    assert answer.status_code == 200
    found = answer.json()
    assert found["instalments"][11]["total_cny"] == "899.80"
    assert found["interest_cny"] == "797.05"
    assert found["annual"]["measured"] == "terms"
    assert found["formula"][0].startswith("Equal instalments:")
    assert [source["evidence"] for source in found["sources"]] == ["argument", "secondary"]
    assert found["inputs"]["principal_cny"] == "10000.00"


@pytest.mark.parametrize(
    ("tool", "body", "figures"),
    [
        ("rate", {"received_cny": 100, "payments": [110], "months_per_term": 12},
         {"cost_cny": "10.00"}),
        ("settle", {"balance_cny": 20000, "annual_rate": 0.144, "days": 10},
         {"total_cny": "20078.90"}),
        ("prepay", {"loan": LOAN, "prepaid_cny": "3000", "mode": "shorten_term", "after_term": 3},
         {"terms_after": 9}),
        ("overdue", {"overdue_principal_cny": 2000, "annual_rate": "14.4%", "uplift": 0.3,
                     "grace_days": 3, "days_overdue": 13}, {"penalty_cny": "10.26"}),
        ("coupon", {"loan": LOAN, "coupons": [{"kind": "rate", "discount": 0.8}]},
         {"discounted_annual_rate": "0.1152"}),
        ("compare", {"a": LOAN, "b": {**LOAN, "annual_rate": "12%"}},
         {"less_cost": "b", "lower_rate": "b"}),
    ],
)  # fmt: skip
async def test_every_tool_answers(
    client: httpx.AsyncClient, tool: str, body: Any, figures: Mapping[str, Any]
) -> None:
    answer = await post(client, tool, body)
    assert answer.status_code == 200, answer.text
    assert {name: answer.json()[name] for name in figures} == figures


@pytest.mark.parametrize(
    ("tool", "body", "field"),
    [
        ("schedule", {**LOAN, "principal_cny": "-5"}, "principal_cny"),
        ("schedule", {**LOAN, "terms": 0}, "terms"),
        ("schedule", {**LOAN, "annual_rate": 14.4}, "annual_rate"),
        ("schedule", {**LOAN, "annual_rate": "9" * 65}, "annual_rate"),
        ("schedule", {**LOAN, "method": "balloon"}, "method"),
        ("schedule", {**LOAN, "colour": "red"}, "colour"),
        ("schedule", {**LOAN, "start": "2026-02-30"}, "start"),
        ("schedule", {}, "principal_cny"),
        ("schedule", [], ""),
        ("settle", {"loan": {**LOAN, "terms": 361}, "on": "2026-01-01"}, "loan.terms"),
        ("coupon", {"loan": LOAN, "coupons": [{"kind": "rate"}]}, "coupons.0.discount"),
    ],
)
async def test_a_bad_argument_is_a_problem_that_names_it(
    client: httpx.AsyncClient, tool: str, body: Any, field: str
) -> None:
    answer = await post(client, tool, body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert any(row["field"].startswith(field) for row in answer.json()["fields"])


async def test_limits_are_told_in_the_language_asked_for(client: httpx.AsyncClient) -> None:
    for locale, said in (("zh-Hans", "应在 1 至 360 之间"), ("en", "expected 1 to 360")):
        answer = await post(client, "schedule", {**LOAN, "terms": 999, "locale": locale})
        assert said in answer.json()["fields"][0]["problem"]


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1e400", "9" * 5000, "-0", "0.1e-400"]
)
async def test_no_number_of_json_makes_a_fault(client: httpx.AsyncClient, number: str) -> None:
    body = json.dumps(LOAN).replace('"10000"', number)
    answer = await client.post(
        "/v1/calculations/schedule", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_calculations_of_one_address_are_limited(tmp_path: Path) -> None:
    overdue = {"overdue_principal_cny": 5, "annual_rate": 0.1, "uplift": 0, "days_overdue": 1}
    app = create_app(settings_for(tmp_path, ZHUNXIN_REQUESTS_PER_MINUTE="5"))
    async with calling(app) as client:
        statuses = [(await post(client, "overdue", overdue)).status_code for _ in range(6)]
    assert statuses == [200] * 5 + [429]


def test_what_http_takes_is_what_is_calculated_with(served: FastAPI) -> None:
    bodies = {
        "schedule": calculations.ScheduleRequest,
        "rate": calculations.RateRequest,
        "settle": calculations.SettleRequest,
        "prepay": calculations.PrepayRequest,
        "overdue": calculations.OverdueRequest,
        "coupon": calculations.CouponRequest,
        "compare": calculations.CompareRequest,
    }
    for tool, body in bodies.items():
        named = {argument.name for argument in fields(TOOLS[tool].arguments)}
        assert set(body.model_fields) - {"locale"} == named, tool
    assert bodies.keys() == TOOLS.keys()
    for part, of in (
        (calculations.LoanBody, Loan),
        (calculations.CouponBody, Coupon),
        (calculations.RepaymentBody, Repayment),
    ):
        assert set(part.model_fields) == {argument.name for argument in fields(of)}
    described = served.openapi()
    for tool in TOOLS:
        route = described["paths"][f"/v1/calculations/{tool}"]["post"]
        assert route["requestBody"]["content"]["application/json"]["schema"]
        assert "application/problem+json" in route["responses"]["422"]["content"]


# The command line --------------------------------------------------------------------------------

SCHEDULE = [
    *("calc", "schedule", "--principal", "10000"),
    *("--method", "equal_instalment", "--annual-rate", "14.4%"),
]


def run(*arguments: str) -> Any:
    result = CliRunner().invoke(command_line, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


@pytest.mark.parametrize(
    ("line", "figures"),
    [
        ("schedule --principal 10000 --method equal_instalment --annual-rate 14.4% --terms 12",
         {"interest_cny": "797.05"}),
        ("schedule --principal 10000 --method daily --daily-rate 0.0005 --start 2026-03-01 "
         "--until 2026-03-31 --repay 2026-03-11=4000 --repay 2026-03-21=1000",
         {"interest_cny": "105.00"}),
        ("rate --received 100 --payment 0 --payment 121", {"cost_cny": "21.00"}),
        ("rate --principal 12000 --method instalment_fee --terms 12 --term-fee-rate 0.6%",
         {"cost_cny": "864.00"}),
        ("settle --balance 20000 --annual-rate 14.4% --days 10", {"total_cny": "20078.90"}),
        ("settle --principal 12000 --method equal_principal --annual-rate 12% --terms 12 "
         "--start 2026-01-10 --on 2026-04-10", {"balance_cny": "9000.00"}),
        ("prepay --principal 12000 --method equal_principal --annual-rate 12% --terms 12 "
         "--prepaid 3000 --mode shorten_term --after-term 6", {"terms_after": 9}),
        ("overdue --overdue-principal 2000 --annual-rate 18% --uplift 50% --cap-annual-rate 24% "
         "--grace-days 1 --grace-charged --days-overdue 10", {"penalty_cny": "13.15"}),
        ("coupon --principal 8000 --method daily --daily-rate 0.04% --start 2026-07-01 "
         "--until 2026-07-31 --coupon kind=interest_free,free_days=15", {"saved_cny": "48.00"}),
        ("compare --principal 12000 --terms 12 --a-method interest_only --a-annual-rate 10% "
         "--b-method equal_principal --b-annual-rate 14.4%",
         {"less_cost": "b", "lower_rate": "a"}),
    ],
)  # fmt: skip
def test_every_command_gives_one_document_or_a_table(line: str, figures: Mapping[str, Any]) -> None:
    ran = run("calc", *line.split(), "--json")
    assert ran.exit_code == 0, ran.output
    document = json.loads(ran.stdout)
    assert {name: document[name] for name in figures} == figures
    for locale in ("zh-Hans", "zh-Hant", "en"):
        shown = run("calc", *line.split(), "--locale", locale)
        assert shown.exit_code == 0
        assert document["formula"] != []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([*SCHEDULE, "--terms", "0", "--locale", "en"], "terms: expected 1 to 360, got 0"),
        ([*SCHEDULE, "--locale", "en"], "terms: is missing"),
        ([*SCHEDULE, "--terms", "12", "--locale", "fr"], "--locale: expected one of"),
        (["calc", "coupon", "--coupon", "rate"], "coupons: expected KEY=VALUE"),
        (["calc", "compare", "--a-principal", "5", "--locale", "en"], "a.method: is missing"),
    ],
)
def test_a_bad_option_is_one_line_on_stderr(arguments: list[str], said: str) -> None:
    ran = run(*arguments)
    assert ran.exit_code == 2
    assert ran.stdout == ""
    assert said in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


def test_calculating_loads_no_model_no_server_and_no_search() -> None:
    heavy = ("langchain", "fastapi", "pydantic", "sqlalchemy", "numpy", "openai", "jinja2", "rich")
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom assistant.cli import app\n"
        f"ran = CliRunner().invoke(app, {[*SCHEDULE, '--terms', '12', '--json']!r})\n"
        "assert ran.exit_code == 0, ran.output\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
    plain = "import sys, assistant.cli; print('assistant.loan_math' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", plain], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


@pytest.mark.parametrize(
    "options",
    [
        ["schedule", "--repay", "2026-07-10=3000,2026-07-12=100"],
        ["schedule", "--repay", "abc"],
        ["coupon", "--coupon", "kind=interest_free,free_days=15,free_days=30"],
    ],
)
def test_an_option_that_says_two_things_is_refused(options: list[str]) -> None:
    loan = "--principal 10000 --method daily --daily-rate 0.04% --start 2026-07-01"
    command = ["calc", *options, *loan.split(), "--until", "2026-07-31"]
    ran = CliRunner().invoke(command_line, command)
    assert ran.exit_code == 2
    assert "expected" in ran.stderr


# The suite ---------------------------------------------------------------------------------------


def shipped() -> ArithmeticSuite:
    suite = SUITES["arithmetic"]
    assert isinstance(suite, ArithmeticSuite)
    return suite


def test_every_figure_of_the_suite_is_right() -> None:
    result = calculate_all(shipped())
    assert result.failures == ()
    assert result.passed
    assert result.n >= 100
    assert result.info is not None


def test_the_worked_examples_of_the_sample_lender_stand_in_its_documents() -> None:
    corpus = Path(__file__).parent.parent / "knowledge" / "corpus"
    named = {case.source for case in shipped().cases() if "." in case.source}
    assert named
    assert named <= {file.name for file in (corpus / "lender").iterdir()}


def test_a_wrong_figure_fails_the_suite_and_is_shown(tmp_path: Path) -> None:
    case = {
        "id": "wrong",
        "tool": "settle",
        "arguments": {"balance_cny": "20000", "annual_rate": "14.4%", "days": 10},
        "topic": "settle",
        "difficulty": "easy",
        "source": "by hand",
        "expect": {"interest_cny": "78.91", "total_cny": "20078.90", "nothing.7": "1"},
    }
    file = tmp_path / "wrong.jsonl"
    file.write_text(json.dumps(case) + "\n", encoding="utf-8")
    result = calculate_all(replace(shipped(), file=file))
    assert result.missed == ("exact",)
    [failure] = result.failures
    assert failure.findings["exact"].wanted == "interest_cny 78.91, nothing.7 1"
    file.write_text(json.dumps({**case, "tool": "divine"}) + "\n", encoding="utf-8")
    with pytest.raises(BadCases, match="divine"):
        load_calculations(file)
