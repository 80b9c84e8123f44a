"""What a case costs: prices of the operator's, tokens of streams, and what is not known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from assistant.deps import Deps
from assistant.llm import ChatModel, Fallback, Message, RecordedChat, Usage, open_chat_model
from evals.prices import BadPrices, Prices, Tokens, load_prices
from evals.records import CaseRecord, RunInfo, SuiteInfo
from evals.report import as_json, run_of
from evals.report_files import as_page
from evals.targets import Counted, Pipeline, Told

from .openai_stub import Stub, fails, openai_stub, says
from .test_eval_targets import ANSWERS, GRACE

GOOD = """
currency = "CNY"

[[price]]
model = "openai:strong"
input = 2.5
output = 10
"""
ASK = [Message("user", "宽限期几天？")]


def model_of(stub: Stub) -> ChatModel:
    return open_chat_model(
        "openai:strong", base_url=stub.base_url, api_key="none", timeout_s=10, retries=0
    )


async def read(model: ChatModel) -> tuple[str, Usage | None]:
    stream = model.stream(ASK, max_tokens=50)
    return "".join([text async for text in stream]), stream.usage


def test_a_price_is_for_a_million_tokens(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(GOOD, encoding="utf-8")
    prices = load_prices(file)
    assert prices.currency == "CNY"
    assert prices.cost({"openai:strong": Tokens(2_000_000, 500_000)}) == pytest.approx(10.0)
    assert prices.cost({}) == 0
    assert prices.cost({"openai:other": Tokens(1, 1)}) is None


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (GOOD.replace("2.5", "-1"), "price.0.input"),
        (GOOD.replace("2.5", "nan"), "price.0.input"),
        (GOOD.replace("2.5", "'2.5 yuan'"), "price.0.input"),
        (GOOD.replace("CNY", "yuan"), "currency"),
        (GOOD.replace("output", "outputs"), "price.0.output"),
        (GOOD + GOOD.partition("\n\n")[2], "twice"),
        ("currency = 'CNY'", "price"),
        ("currency =", "TOML"),
    ],
)
def test_a_wrong_price_is_named(tmp_path: Path, text: str, named: str) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(BadPrices, match=named):
        load_prices(file)
    with pytest.raises(BadPrices, match="cannot be read"):
        load_prices(tmp_path / "none.toml")


async def test_tokens_of_a_stream_are_known_where_the_endpoint_tells_them() -> None:
    async with openai_stub(*[says("三天。", counts=True)] * 3, says("三天。")) as stub:
        model = model_of(stub)
        assert await read(model) == ("三天。", Usage(7, 5))
        assert await read(Fallback([model])) == ("三天。", Usage(7, 5))
        assert await read(RecordedChat(model, [])) == ("三天。", Usage(7, 5))
        assert await read(model) == ("三天。", None)
        await model.close()


async def test_an_endpoint_that_knows_no_such_wish_is_asked_without_it_from_then_on() -> None:
    async with openai_stub(fails(400), says("三天。"), says("三天。")) as stub:
        model = model_of(stub)
        assert await read(model) == ("三天。", None)
        assert await read(model) == ("三天。", None)
        await model.close()
    asked = ["stream_options" in request for request in stub.requests]
    assert asked == [True, False, False]


@pytest.mark.parametrize("counts", [True, False])
async def test_a_drafted_case_costs_what_its_tokens_do_or_it_is_not_known(
    deps: Deps, counts: bool
) -> None:
    behaviours = [says("宽限期为还款日后的 3 个自然日 [1]。", counts=counts)] * 8
    async with openai_stub(*behaviours) as stub:
        model = model_of(stub)
        deps.use_model(Counted(model))
        index = await deps.index()
        texts = {clause.id: clause.text for clause in index.clauses}
        prices = Prices("CNY", {"openai:strong": (2.5, 10.0)})
        told = await Pipeline(deps, texts, prices).ask(GRACE, ANSWERS, 0)
        calls = len(stub.requests)
        await model.close()
    assert told.model == "openai:strong"
    if counts:
        assert (told.tokens_in, told.tokens_out) == (7 * calls, 5 * calls)
        assert told.cost == pytest.approx(calls * (7 * 2.5 + 5 * 10) / 1_000_000)
        assert told.uncounted == 0
    else:
        assert told.uncounted == 1
        assert told.cost is None
        assert (told.tokens_in, told.tokens_out) == (7 * (calls - 1), 5 * (calls - 1))


async def test_quoting_costs_nothing(deps: Deps) -> None:
    told: Told = await Pipeline(deps, {}, Prices("CNY", {})).ask(GRACE, ANSWERS, 0)
    assert told.cost == 0
    assert (await Pipeline(deps, {}).ask(GRACE, ANSWERS, 0)).cost is None


def test_the_report_tells_the_cost_and_what_was_not_counted() -> None:
    one = CaseRecord("answers", "a", 0, "t", "easy", "?", "!", tokens_in=7, tokens_out=5, cost=0.25)
    info = RunInfo(
        "r",
        "2026-11-23T00:00:00+00:00",
        1.0,
        1,
        {"prices": "CNY 12ab34cd"},
        (SuiteInfo("answers", "h", {}),),
    )
    run = run_of(info, [one, replace(one, case="b", cost=0.5)])
    assert as_json(run)["suites"][0]["cost"] == 0.75
    assert "0.7500 CNY" in as_page(run)
    unknown = run_of(info, [one, replace(one, case="b", cost=None, uncounted=2)])
    found = as_json(unknown)["suites"][0]
    assert (found["cost"], found["uncounted"]) == (None, 2)
    assert "2 次模型调用未返回令牌数" in as_page(unknown)
