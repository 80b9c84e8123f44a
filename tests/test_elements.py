"""What a message has to carry is put in from data, and what is put in satisfies the rules."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, get_args

import pytest

from assistant.compliance import Given, review_given
from assistant.deps import Deps
from assistant.elements import (
    SHIPPED,
    Channels,
    ChannelsError,
    Completed,
    Facts,
    append_required,
    check_own,
    facts_of,
    load_channels,
    review_completed,
)
from assistant.rules import Channel, RulePack, Task, load_rules, read_context
from knowledge.documents import Clause, Head
from knowledge.lender import LenderFileError, Rate, load_lender, load_rates, stated_rates

from .test_compliance import HEAD, rule_text
from .test_ingest import Home
from .test_releases import run

ON = date(2026, 11, 1)
LENDER = load_lender()
RATES = load_rates()
FACTS = Facts(LENDER, LENDER.hotline, LENDER.hours, RATES)
ADVERT = "安心贷，申请方便，以审批结果为准"
PRICE = "借 10,000 元，每期还款 900 元，以审批结果为准"
PRESENCE = {"CN-ID-01", "CN-CONT-02", "CN-DEBT-04", "CN-ID-06", "CN-AI-04", "CN-CONT-04"}
"""Rules of what has to stand in a finished message."""
CHOSEN = {"complete": True, "personalised": True, "made_by_ai": True}
"""Said of a message that a machine wrote for somebody in particular."""


@pytest.fixture(scope="module")
def pack() -> RulePack:
    return load_rules()


@pytest.fixture(scope="module")
def channels() -> Channels:
    return load_channels()


def given(text: str, task: Task = "marketing", channel: Channel = "sms", **said: Any) -> Given:
    return Given(text, task, channel, read_context(said), ON)


@pytest.mark.parametrize("channel", get_args(Channel))
@pytest.mark.parametrize("task", get_args(Task))
@pytest.mark.parametrize("locale", ["zh-Hans", "zh-Hant"])
@pytest.mark.parametrize("text", [ADVERT, PRICE, ADVERT + "。", "【青穗消金】" + ADVERT])
@pytest.mark.parametrize("said", [{}, CHOSEN])
def test_a_completed_text_breaks_no_rule_and_lacks_nothing(
    pack: RulePack,
    channels: Channels,
    task: Task,
    channel: Channel,
    locale: Any,
    text: str,
    said: dict[str, bool],
) -> None:
    message = given(text, task, channel, **said)
    done = append_required(pack, channels, message, FACTS, locale)
    found = review_completed(pack, message, done)
    assert not found.findings, (done.text, [(f.rule.id, f.text) for f in found.findings])
    assert not done.lacking
    assert not done.too_long
    # Its own words stay, and nothing is put in twice.
    own = list(done.text)
    for added in reversed(done.added):
        assert done.text[slice(*added.span)] == added.text
        del own[slice(*added.span)]
    assert "".join(own).strip("\n。") == text.strip("。")
    again = append_required(pack, channels, replace(message, text=done.text), FACTS, locale)
    assert (again.text, again.added) == (done.text, ())


def test_an_english_completion_names_lender_label_and_the_way_out(
    pack: RulePack, channels: Channels
) -> None:
    """The rules' words for moderation are Chinese; what they can see in English is there."""
    for channel in ("sms", "push", "wechat", "email", "call_script"):
        message = given(ADVERT, channel=channel)
        done = append_required(pack, channels, message, FACTS, "en")
        assert "Borrow within your means" in done.text
        found = {f.rule.id for f in review_completed(pack, message, done).findings}
        assert not found & {"CN-ID-01", "CN-CONT-02", "CN-ID-06", "CN-AI-04"}
        again = append_required(pack, channels, replace(message, text=done.text), FACTS, "en")
        assert not again.added


def test_each_rule_of_presence_is_broken_by_the_bare_advert(
    pack: RulePack, channels: Channels
) -> None:
    """Or the tests above would show nothing."""
    broken = {
        finding.rule.id
        for channel in get_args(Channel)
        for finding in review_given(pack, given(ADVERT, channel=channel, **CHOSEN)).findings
    }
    assert broken >= PRESENCE


@pytest.mark.parametrize(
    ("task", "text", "labelled"),
    [
        ("marketing", "年末分期，本内容不是AI生成", True),
        ("marketing", "年末分期（非AI生成）", True),
        ("marketing", "年末分期，未使用AI辅助", True),
        ("marketing", "Instalments. This is not AI-generated.", True),
        ("marketing", "年末分期（AI生成）", False),
        ("chat", "可以提前还款。警惕AI换脸诈骗。", True),
        ("chat", "我不是AI，可以提前还款。", True),
        ("chat", "我是AI助手，可以提前还款。", False),
    ],
)
def test_a_label_that_is_denied_or_only_named_is_put_in(
    pack: RulePack, channels: Channels, task: Task, text: str, labelled: bool
) -> None:
    for locale in ("zh-Hans", "en"):
        message = given(text, task, "chat", label_shown=False)
        done = append_required(pack, channels, message, FACTS, locale)
        assert ("ai_label" in added(done)) == labelled


def added(done: Completed) -> dict[str, str]:
    return {part.element: part.text for part in done.added}


def test_the_rate_beside_a_price_is_that_of_the_products_terms(
    pack: RulePack, channels: Channels
) -> None:
    """900 a month for 10,000 is some 14 %: no such figure is worked out and put in."""
    both = append_required(pack, channels, given(PRICE), FACTS)
    assert added(both)["annual_rate"].startswith(
        "安心贷年化利率（单利）7.2%至19.8%；随心借年化利率（单利）7.3%至14.6%"
    )
    one = append_required(pack, channels, given("安心贷" + PRICE), FACTS)
    assert "随心借" not in one.text
    assert set(re.findall(r"[\d.]+%", one.text)) == {"7.2%", "19.8%"}
    none = append_required(pack, channels, given(ADVERT), FACTS)
    assert "annual_rate" not in added(none)
    said = append_required(pack, channels, given("安心贷年化利率（单利）7.2%至19.8%"), FACTS)
    assert "annual_rate" not in added(said)


def test_a_least_rate_alone_gets_the_whole_range(pack: RulePack, channels: Channels) -> None:
    message = given("安心贷年化利率（单利）低至7.2%")
    done = append_required(pack, channels, message, FACTS)
    assert "7.2%至19.8%" in added(done)["annual_rate"]
    assert not review_completed(pack, message, done).findings


@pytest.mark.parametrize(
    ("facts", "text", "lacking"),
    [
        (Facts(LENDER, "", "", RATES), PRICE, ("human",)),
        (Facts(LENDER, LENDER.hotline, LENDER.hours, ()), PRICE, ("annual_rate",)),
        # Of one product alone it would look as if it were that of all.
        (Facts(LENDER, LENDER.hotline, LENDER.hours, RATES[:1]), PRICE, ("annual_rate",)),
        (Facts(LENDER, LENDER.hotline, LENDER.hours, RATES[:1]), "安心贷" + PRICE, ()),
    ],
)
def test_what_no_clause_states_is_not_put_in_and_named(
    pack: RulePack, channels: Channels, facts: Facts, text: str, lacking: tuple[str, ...]
) -> None:
    done = append_required(pack, channels, given(text, channel="wechat"), facts)
    assert done.lacking == lacking
    assert "{" not in done.text


def test_a_text_with_slots_of_its_own_is_left_alone(pack: RulePack, channels: Channels) -> None:
    done = append_required(pack, channels, given("{hotline}{name}{x}" + ADVERT), FACTS)
    assert "{hotline}{name}{x}" in done.text


def test_nothing_hides_what_else_is_wrong(pack: RulePack, channels: Channels) -> None:
    message = given("安心贷百分百下款", opted_out=True)
    done = append_required(pack, channels, message, FACTS)
    found = {finding.rule.id for finding in review_completed(pack, message, done).findings}
    assert {"CN-PROM-01", "CN-CONT-02"} <= found


def test_a_mail_keeps_its_subject_line_in_front(pack: RulePack, channels: Channels) -> None:
    done = append_required(pack, channels, given("主题：" + ADVERT, channel="email"), FACTS)
    assert done.text.startswith("主题：【广告】" + ADVERT)


def test_a_chat_that_shows_its_label_gets_no_second_one(pack: RulePack, channels: Channels) -> None:
    for shown, there in ((True, False), (False, True)):
        message = given("可以提前还款。", "chat", "chat", label_shown=shown)
        done = append_required(pack, channels, message, FACTS)
        assert ("ai_label" in added(done)) is there
        assert "human" in added(done)


def test_a_text_beyond_what_the_channel_takes_is_told(pack: RulePack, channels: Channels) -> None:
    done = append_required(pack, channels, given(ADVERT * 40), FACTS)
    assert done.too_long
    assert done.longest == channels.forms["sms"].longest


def test_a_message_without_a_channel_cannot_be_completed(
    pack: RulePack, channels: Channels
) -> None:
    with pytest.raises(ValueError, match="channel"):
        append_required(pack, channels, replace(given(ADVERT), channel=None), FACTS)


# Facts


def clause(text: str, source: str = "terms.md", **more: Any) -> Clause:
    return Clause("a#1", source, Head(**more.pop("head", {})), "", "", text, **more)


RATE = Rate("anxin", "安心贷", "7.2%", "19.8%", "terms.md")


@pytest.mark.parametrize(
    ("part", "stated"),
    [
        (clause("安心贷的年化利率（单利）为 7.2%–19.8%。"), True),
        (clause("安心贷的年化利率（单利）为 17.2%–19.8%。"), False),
        (clause("安心贷的年化利率（单利）为 7.2%–20%。"), False),
        (clause("安心贷最低 7.2%。\n随心借最高 19.8%。"), False),
        (clause("安心贷 7.2%–19.8%。", source="faq.md"), False),
        (clause("安心贷 7.2%–19.8%。", held=True), False),
        (clause("安心贷 7.2%–19.8%。", head={"effective_to": date(2026, 1, 1)}), False),
    ],
)
def test_a_rate_is_advertised_only_while_its_document_states_it(part: Clause, stated: bool) -> None:
    assert stated_rates([RATE], [part], ON) == ((RATE,) if stated else ())


async def test_the_sample_lenders_documents_state_its_rates(deps: Deps) -> None:
    facts = await deps.facts(ON)
    assert facts == FACTS
    before = facts_of(LENDER, RATES, (await deps.index()).clauses, date(2025, 6, 1))
    assert before.rates == ()


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("rates = 1", r"\[rates\] must be a table"),
        ("[rates.other]\nname='x'", "rates.other is no product"),
        ("[rates.a]\nname='x'\nleast='7%'\nmost='8%'", "rates.a.source"),
        ("[rates.a]\nname='x'\nleast=7\nmost='8%'\nsource='a'", "rates.a.least"),
        ("[rates.a]\nname='x'\nleast='7'\nmost='8%'\nsource='a'", "must be like"),
    ],
)
def test_a_mistake_in_the_rates_is_named(tmp_path: Path, written: str, said: str) -> None:
    file = tmp_path / "lender.toml"
    head = "name='a'\nshort_name='a'\n"
    file.write_text(head + written + "\n[products]\na = ['x']\n", encoding="utf-8")
    with pytest.raises(LenderFileError, match=said):
        load_rates(file)


def test_a_lender_without_rates_has_none(tmp_path: Path) -> None:
    file = tmp_path / "lender.toml"
    file.write_text("[products]\n", encoding="utf-8")
    assert load_rates(file) == ()


# The file


def test_the_shipped_file_names_rules_that_there_are(pack: RulePack, channels: Channels) -> None:
    named = {rule for element in channels.elements for rule in element.rules | element.prices}
    assert named <= pack.by_id.keys()
    assert set(channels.forms) == set(get_args(Channel))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('place = "start"', 'place = "middle"', r"element 1 \(advertising_label\)\.place"),
        ('channels = ["push", "in_app"', 'channels = ["pager", "in_app"', r"\.channels"),
        ('tasks = ["marketing"]', "tasks = []", r"\.tasks"),
        ('rules = ["CN-ID-06"]', 'rules = "CN-ID-06"', r"\.rules"),
        ('rules = ["CN-ID-06"]', 'rule = ["CN-ID-06"]', "'rule' is not known"),
        ('wording.en = "[AD] "', "", r"wording\.en"),
        ('wording.en = "[AD] "', 'wording.en = "{lender}"', "known slots are"),
        ('wording.en = "[AD] "', 'wording.en = "{name"', "known slots are"),
        ("longest = 500", "longest = -1", r"channels\.sms\.longest"),
        ("longest = 500", "longest = true", r"channels\.sms\.longest"),
        ("[channels.push]", "[channels.pager]", r"channels\.push"),
        ("[languages.en]", "[languages.fr]", r"languages\.en"),
        ('stop = "."', "stop = 1", r"languages\.en"),
        ("[channels.sms]", "[channels.sms", "cannot be read"),
        ('[[elements]]\nid = "risk"', '[[element]]\nid = "risk"', "'element' is not known"),
        ("longest = 500", f"longest = {'9' * 5000}", "cannot be read"),
        ("longest = 500", f"longest = {'[' * 100_000}", "cannot be read"),
        (SHIPPED.read_text(encoding="utf-8"), "channels = 5", "channels: expected a table"),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    text = SHIPPED.read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "channels.toml").write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ChannelsError, match=said) as error:
        load_channels(tmp_path)
    assert str(tmp_path) in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('rules = ["CN-ID-06"]', 'rules = ["HK-AD-99"]', "'HK-AD-99' is no rule of any pack"),
        ('prices = ["CN-RATE-01"', 'prices = ["CN-RATE-91"', "'CN-RATE-91' is no rule of any"),
        ('unless = "label_shown"', 'unless = "label_show"', "unless: 'label_show' is no context"),
    ],
)
def test_an_element_names_rules_and_context_that_some_pack_has(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    text = SHIPPED.read_text(encoding="utf-8")
    (tmp_path / "channels.toml").write_text(text, encoding="utf-8")
    check_own(tmp_path, load_channels(tmp_path))
    assert old in text
    (tmp_path / "channels.toml").write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ChannelsError, match=said):
        check_own(tmp_path, load_channels(tmp_path))


def test_an_institutions_own_file_takes_its_place_beside_its_rules(tmp_path: Path) -> None:
    text = SHIPPED.read_text(encoding="utf-8").replace("拒收请回复R", "拒收请回复T")
    (tmp_path / "channels.toml").write_text("\ufeff" + text, encoding="utf-8")
    done = append_required(load_rules(own=tmp_path), load_channels(tmp_path), given(ADVERT), FACTS)
    assert done.text.endswith("拒收请回复T")


OWN_ELEMENT = """
[[elements]]
id = "warning"
tasks = ["marketing"]
channels = ["sms"]
rules = ["HK-01"]
present = []
place = "end"
wording.zh-Hans = "忠告：借钱梗要还。"
wording.zh-Hant = "忠告：借錢梗要還。"
wording.en = "Warning: you have to repay your loans."
"""


def test_elements_alone_are_added_to_the_shipped_ones(tmp_path: Path) -> None:
    rule = rule_text("context = { complete = true }\nrequires_any = ['借(錢|钱)梗要', 'Warning:']")
    (tmp_path / "hk-own.toml").write_text(HEAD + rule.replace("ZZ-01", "HK-01"), encoding="utf-8")
    (tmp_path / "channels.toml").write_text(OWN_ELEMENT, encoding="utf-8")
    channels = load_channels(tmp_path)
    check_own(tmp_path, channels)
    pack = load_rules("cn,hk", tmp_path)
    for locale, text in (("zh-Hans", "忠告：借钱梗要还。"), ("en", "Warning: you have to repay")):
        done = append_required(pack, channels, given(ADVERT), FACTS, locale)
        assert {"unsubscribe", "warning"} <= {added.element for added in done.added}
        assert text in done.text
        assert not {f.rule.id for f in review_completed(pack, given(ADVERT), done).findings} & {
            "HK-01"
        }


# The command


@pytest.fixture
def advert(tmp_path: Path) -> str:
    file = tmp_path / "advert.txt"
    file.write_text("安心贷" + PRICE, encoding="utf-8")
    return str(file)


@pytest.fixture
def sample(deps: Deps, tmp_path: Path) -> Home:
    return Home(deps, tmp_path)


async def test_the_command_completes_a_text(sample: Home, advert: str) -> None:
    asked = ("check", advert, "--task", "marketing", "--channel", "sms", "--complete")
    code, out, err = await run(sample, *asked)
    assert code == 0, err
    assert out.startswith("【青穗消金】安心贷" + PRICE)
    assert "added annual_rate: 安心贷年化利率" in err
    code, out, _ = await run(sample, *asked, "--json")
    done = json.loads(out)
    assert code == 0
    assert done["review"]["verdict"] == "pass"
    assert [part["element"] for part in done["added"]] == [
        *("lender_name", "annual_rate", "risk", "ai_label", "unsubscribe")
    ]
    for wrong in (asked[:4] + asked[6:], (*asked, "--locale", "fr"), (*asked, "--semantic")):
        code, _, err = await run(sample, *wrong)
        assert (code, "Traceback" in err) == (2, False), wrong
