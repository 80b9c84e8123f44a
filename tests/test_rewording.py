"""What only the weights see in a reworded sentence, and how they are fitted."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import numpy as np
import pytest

from assistant import rewording
from assistant.compared import Source
from assistant.gate import Bar, Draft, release
from assistant.grounding import find_problem, read_case
from assistant.reading import Names, names_of
from assistant.rewording import DIMENSIONS, load_weights, odds, traits
from evals.fit_rewording import Rows, fit, sentences
from evals.mutate import KEPT_BACK, by_hand, citations
from knowledge.lender import load_lender

NAMES = Names(products=(("green", ("绿洲贷",)), ("blue", ("蓝湖借",))))


@pytest.fixture(autouse=True)
def _read_again() -> Iterator[None]:
    yield
    load_weights.cache_clear()


@pytest.mark.parametrize(
    ("quote", "false", "true"),
    [
        (
            "免息券只能用于随心借提款，安心贷不能使用免息券。",
            "随心借提款使用免息券后，借款人不能使用安心贷。",
            "免息券只能在随心借提款时用，安心贷不能用免息券。",
        ),
        (
            "借款人在「青穗金融」App「设置」「账户安全」中点击「更换手机号」，通过人脸核验后即可换绑。",
            "借款人须先更换手机号，才可以在「青穗金融」App 通过人脸核验。",
            "您在「青穗金融」App「设置」「账户安全」里点击「更换手机号」，通过人脸核验后就可以换绑。",
        ),
        (
            "按键：0；服务内容：转人工客服；服务时间：每日 9:00 至 21:00",
            "每日 9:00 按 0 键的，至 21:00 才转人工客服。",
            "按 0 键可以转人工客服，服务时间是每日 9:00 至 21:00。",
        ),
    ],
)
def test_a_sentence_is_withheld_for_how_it_departs_where_no_check_knows_why(
    quote: str, false: str, true: str
) -> None:
    names = names_of(load_lender())
    problem = find_problem(false, [Source(quote)], names)
    assert problem is not None
    assert problem.reason == "unlike"
    assert find_problem(true, [Source(quote)], names) is None


def test_traits_are_what_is_added_left_out_and_put_side_by_side() -> None:
    sources = [Source("绿洲贷提前结清，不收违约金。")]
    found = traits(read_case("绿洲贷不收违约金。", sources, NAMES))
    # Of the parts that the sentence does not follow it says nothing.
    assert found["~提前"] == 1
    followed = traits(read_case("绿洲贷结清，不收违约金。", sources, NAMES))
    assert followed["-提前"] == 1
    assert not [trait for trait in found if trait.startswith(("+", "#+"))]
    added = traits(read_case("绿洲贷提前结清，不收手续费。", sources, NAMES))
    assert added["+!手续费"] == added["#+word"] == 1
    assert ">手续" in added
    assert "<违约" in added
    # Products are products, whichever they are: other checks tell them apart.
    assert set(traits(read_case("绿洲贷不收违约金。", sources, NAMES))) == set(
        traits(read_case("蓝湖借不收违约金。", [Source("蓝湖借提前结清，不收违约金。")], NAMES))
    )


def test_what_was_calculated_is_not_added_and_what_was_asked_not_left_out() -> None:
    sources = [Source("绿洲贷提前结清，不收违约金。")]
    said = "绿洲贷网上提前结清，不收违约金。"
    for asked in ("", "网上提前结清收钱吗"):
        found = traits(read_case(said, sources, NAMES, asked=asked))
        assert {"+网上", ">网"} <= set(found)
    calculated = traits(read_case(said, sources, NAMES, facts=["网上"]))
    assert not {"+网上", ">网"} & set(calculated)
    short = "提前结清，不收违约金。"
    assert {t for t in traits(read_case(short, sources, NAMES)) if t[0] in "-<"}
    asked_so = read_case(short, sources, NAMES, asked="绿洲贷提前结清收钱吗")
    assert not {t for t in traits(asked_so) if t[0] in "-<"}


def test_a_sentence_of_the_quote_is_not_weighed(monkeypatch: pytest.MonkeyPatch) -> None:
    quote = "绿洲贷提前结清，不收违约金。绿洲贷可以随时申请提前结清，当日扣款。"
    sources = [Source(quote)]
    hard = rewording.Weights(memoryview(bytes(DIMENSIONS)).cast("b"), 1.0, 1.0, 0.0)
    monkeypatch.setattr(rewording, "load_weights", lambda: hard)
    assert find_problem("绿洲贷提前结清，不收违约金。", sources, NAMES) is None
    assert find_problem("可以的，" + quote.split("。")[1] + "。", sources, NAMES) is None
    problem = find_problem("绿洲贷提前结清不收违约金。", sources, NAMES)
    assert problem is not None
    assert problem.reason == "unlike"


async def test_without_its_weights_nothing_reworded_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cited = next(c for c in citations() if c.quote.startswith("安心贷全部款项结清后"))
    draft = Draft("安心贷的全部款项结清后，借款合同就自动终止。", "model", (cited,))

    async def released() -> list[str]:
        async def stream() -> AsyncGenerator[Draft, None]:
            yield draft

        bar = Bar(names_of(load_lender()))
        return [d.text async for v in release(stream(), None, bar) for d in v.released]

    assert await released() == [draft.text]
    load_weights.cache_clear()
    monkeypatch.setattr(rewording, "FILE", tmp_path / "none.json")
    assert draft.text not in await released()


def test_the_shipped_weights_are_whole() -> None:
    weights = load_weights()
    assert len(weights.by_number) == DIMENSIONS
    assert max(abs(weight) for weight in weights.by_number) == 127
    assert 0 < weights.bar < 5
    assert odds({}, weights) == weights.bias


def test_odds_are_the_same_in_whatever_order_traits_are_found() -> None:
    quote = "借款人可以在「青穗金融」App 查看已签署的征信授权书，授权书可以下载。"
    case = read_case("征信授权书签好了能在「青穗金融」App 里看，也能下载。", [Source(quote)], NAMES)
    found = list(traits(case).items())
    chance, weights = random.Random(1), load_weights()
    odd = {odds(dict(chance.sample(found, len(found))), weights) for _ in range(200)}
    assert len(odd) == 1


def test_only_what_may_be_read_is_learned_from() -> None:
    kept = [trial for part in KEPT_BACK for trial in by_hand(part)]
    learned = [one.trial for one in sentences()]
    assert {trial.text for trial in kept}.isdisjoint(trial.text for trial in learned)
    rested_on = {citation.quote for trial in learned for citation in trial.citations}
    assert {trial.citations[0].quote for trial in kept}.isdisjoint(rested_on)


def test_the_fit_ends_where_no_weight_can_be_bettered() -> None:
    chance = np.random.default_rng(0)
    rows = Rows(
        [
            [(int(at), float(chance.random())) for at in chance.choice(50, 8, replace=False)]
            for _ in range(300)
        ]
    )
    first = np.array([rows.places[start] for start in rows.starts])
    false = (chance.random(300) < np.where(first < 25, 0.9, 0.1)).astype(float)
    counts = np.where(false > 0, 1.0, 4.0)
    weights = fit(rows, false, counts)
    likely = 1 / (1 + np.exp(-rows.weighed(weights)))
    np.testing.assert_allclose(weights + rows.gathered(counts * (likely - false)), 0, atol=1e-3)
    assert likely[false > 0].mean() > likely[false == 0].mean() + 0.1
