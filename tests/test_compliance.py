"""The compliance engine: what is matched, what excuses it, what is told, and what is refused."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
import re2
from hypothesis import example as with_example
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.compliance import (
    Given,
    Review,
    _judged,
    read_message,
    review,
    review_as_json,
    review_given,
    try_examples,
)
from assistant.likeness import Likeness, open_likeness, review_likeness
from assistant.literals import ENDLESS, SHORT, beginnings, choices, needed_literals
from assistant.matching import (
    SHIPPED,
    BadPattern,
    Folding,
    Pattern,
    Prefilter,
    compile_pattern,
    load_folding,
    pattern_options,
)
from assistant.rule_checks import flat_fee_annual_rate
from assistant.rules import (
    ContextError,
    RulePack,
    RulePackError,
    load_rules,
    of_text,
    passed_by,
    read_context,
)
from assistant.wording import review_wording
from knowledge.embed import Embedder, open_embedder
from tests.knowledge_server import serving
from tests.test_cli import Shell, shell  # noqa: F401

TODAY = date(2026, 11, 20)

HEAD = """
[sources.AD]
title = "中华人民共和国广告法"
held = "text"

[sources.HEARSAY]
title = "某通知"
held = "secondary"

[words.negation]
patterns = ['不(能|会)?', '无法']

[words.warning]
reach = "sentence"
window = 40
patterns = ['谨防', '骗局']
"""

RULE = """
[[rules]]
id = "{id}"
title_zh = "标题"
title_en = "title"
tasks = ["chat", "marketing"]
severity = "block"
anchor = "derived"
sources = [{{ source = "AD", article = "第四条", evidence = "text" }}]
suggestion_zh = "改写"
{fields}
bad = ["一", "二", "三"]
good = ["四", "五", "六"]
[[rules.triggers]]
{trigger}
"""


def rule_text(trigger: str, fields: str = "", id: str = "ZZ-01") -> str:
    return RULE.format(id=id, trigger=trigger, fields=fields)


@pytest.fixture
def pack_of(tmp_path: Path) -> Any:
    """Rules of a jurisdiction of their own, with the shipped folding."""

    def build(*rules: str) -> RulePack:
        folder = tmp_path / "rules"
        folder.mkdir(exist_ok=True)
        (folder / "zz-all.toml").write_text(HEAD + "".join(rules), encoding="utf-8")
        return load_rules("zz", folder)

    return build


@cache
def shipped() -> RulePack:
    return load_rules("cn")


@cache
def folding() -> Folding:
    return load_folding()


def judge(pack: RulePack, text: str, **said: Any) -> Review:
    given = said.pop("context", {})
    context = given if "complete" in given else read_context(given)
    options = {"task": "chat", "context": context, "on": TODAY} | said
    return review(pack, text, **options)


def hits(found: Review) -> list[str]:
    return [finding.text for finding in found.findings]


# Folding


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("百分百下款", "百分百下款"),
        ("百 分 百 下 款", "百分百下款"),
        ("百·分*百🔥下❤️款", "百分百下款"),
        ("百\u200b分\u2060百\ufeff下款", "百分百下款"),
        ("百，分，百，下，款", "百分百下款"),
        ("１００％下款", "百分百下款"),
        ("百分之百通过", "百分百通过"),
        ("白分百下kuan", "百分百下款"),
        ("不看徵信", "不看征信"),
        ("不看怔信", "不看征信"),
        ("不看zheng信", "不看征信"),
        ("不看Z X", "不看征信"),
        ("貸款", "贷款"),
        ("袋款", "贷款"),
        ("dai kuan", "贷款"),
        ("加V信", "加微信"),
        ("加 v.x 详聊", "加微信详聊"),
        ("薇信", "微信"),
        ("嘿户", "黑户"),
        ("已到帐", "已到账"),
        ("①②③", "123"),
        ("２４％", "24%"),
        # What sounds alike but is a word, or runs on into one, stays.
        ("您的包裹已到", "您的包裹已到"),
        ("免洗洗手液", "免洗洗手液"),
        ("于期限内还清", "于期限内还清"),
        ("直接款项", "直接款项"),
        ("预期收益", "预期收益"),
        ("https://www.zx.com/dk", "https://www.zx.com/dk"),
        ("xdkx", "xdkx"),
        ("2100%", "2100%"),
        ("元/天", "元/天"),
        ("3-12期", "3-12期"),
        ("an annual rate of 7.2 %", "an annual rate of 7.2 %"),
        ("百\u3164分\u115f百\uffa0下\u1160款", "百分百下款"),
        ("100 % 下款", "百分百下款"),
        ("资料齐全，100 ％放款", "资料齐全,百分百放款"),
        ("百分之100下款", "百分百下款"),
        ("💯下款", "百分百下款"),
        ("年化 18 % 起", "年化18%起"),
        # A percentage in English is one.
        ("100% approval", "100% approval"),
        ("approval is 100%", "approval is 100%"),
        ("通过率：100%", "通过率:百分百"),
        ("our no1 lender", "our no1 lender"),
        ("NO1口碑", "第一口碑"),
    ],
)
def test_disguises_are_taken_off_and_plain_words_stay(written: str, read: str) -> None:
    assert folding().bare(written).text == read


@settings(deadline=None)
@given(
    st.text(
        alphabet=st.characters(codec="utf-8") | st.sampled_from("百分下款·* \u200bvx征信怔１％")
    )
)
def test_every_place_of_a_folded_text_is_known_in_the_original(text: str) -> None:
    for folded in (folding().plain(text), folding().bare(text), folding().numeric(text)):
        assert len(folded.text) == len(folded.starts) == len(folded.ends)
        assert list(folded.starts) == sorted(folded.starts)
        for start, end in zip(folded.starts, folded.ends, strict=True):
            assert 0 <= start < end <= len(text)


@settings(deadline=None)
@given(st.text(), st.sampled_from(["百·分·百 下kuan", "百分百下款", "１００％下款"]), st.text())
def test_a_finding_shows_the_text_as_it_was_written(before: str, said: str, after: str) -> None:
    text = f"{before}。\n{said}\n。{after}"
    found = judge(shipped(), text, task="marketing")
    start = len(before) + 2
    spans = [f.span for f in found.findings if f.rule.id == "CN-PROM-01"]
    assert (start, start + len(said)) in spans
    for finding in found.findings:
        assert text[slice(*finding.span)] == finding.text


def test_half_of_a_surrogate_pair_is_only_a_strange_character() -> None:
    assert hits(judge(shipped(), "\ud83d包过\udc00", task="marketing")) == ["包过"]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("年利率3\u200b6%", "年利率36%"),
        ("年化𝟑𝟔%", "年化36%"),
        ("年化③⑥%", "年化36%"),
        ("年利率3⃣6⃣%", "年利率36%"),
        ("额度最高5😀0万元", "额度最高50万元"),
        ("0.😀05%", "0.05%"),
        ("3\u31646%", "36%"),
        # Numbers of a list, and what an arrow leads to, run into no number.
        ("1️⃣30天 2️⃣36期", "1️⃣30天 2️⃣36期"),
        ("①3期②6期", "①3期②6期"),
        ("36➡18%", "36➡18%"),
        ("满５０元，减5～10元", "满50元，减5～10元"),
    ],
)
def test_numbers_are_read_through_their_disguises(written: str, read: str) -> None:
    assert folding().numeric(written).text == read


@pytest.mark.parametrize(
    ("rule", "text", "found"),
    [
        ("CN-RATE-06", "随借随还，年利率3\u200b6%。", "3\u200b6%"),
        ("CN-RATE-06", "年化③⑥%起", "③⑥%"),
        ("CN-RATE-06", "年化利率二 十 八%", "二 十 八%"),
        ("CN-RATE-06", "年化利率3 6%", "3 6%"),
        ("CN-CAP-01", "最高可借 3 0 万", "3 0 万"),
        ("CN-CAP-01", "额度最高5😀0万元，年化利率18%", "5😀0万元"),
        ("CN-RATE-02", "日利率0.0\u200b5%（年化15%）", "15%"),
        ("CN-PROM-01", "您好\u202e款下百分百\u202c，来吧", "款下百分百"),
        ("CN-PROM-01", "您好\u202e。款下\n百分百", None),
        ("CN-RATE-06", "年化\u202e%63\u202c", "%63"),
    ],
)
def test_what_is_shown_is_judged_and_found_where_it_is_written(
    rule: str, text: str, found: str | None
) -> None:
    spans = [
        finding.span
        for finding in judge(shipped(), text, task="marketing").findings
        if finding.rule.id == rule
    ]
    start = text.find(found or "")
    assert spans == ([] if found is None else [(start, start + len(found))])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "<b>无视</b>征信，年化利率<b>36</b>%，额度最高<b>30</b>万",
            {
                ("CN-PROM-02", "无视</b>征信"),
                ("CN-RATE-06", "36</b>%"),
                ("CN-CAP-01", "额度最高<b>30</b>万"),
            },
        ),
        ("百分&#x767e;下款", {("CN-PROM-01", "百分&#x767e;下款")}),
        ("百&#8203;分百下款", {("CN-PROM-01", "百&#8203;分百下款")}),
        ("<!-- 甲 -->百分<br>百下款。", {("CN-PROM-01", "百分<br>百下款")}),
        ('<a href="https://evil.com/x">申请</a>', {("CN-ID-05", "https://evil.com")}),
        ("<p>不收费</p><p>百分百下款</p>", {("CN-PROM-01", "百分百下款")}),
        # What is shown is denied.
        ("我们<b>不</b>保证通过", set()),
        # No mark-up: what to reply, and signs of comparison.
        ("回复<TD>退订，百分百下款", {("CN-PROM-01", "百分百下款")}),
        ("a<b且c>d，百分百下款", {("CN-PROM-01", "百分百下款")}),
    ],
)
def test_mark_up_is_judged_as_it_is_shown(text: str, found: set[tuple[str, str]]) -> None:
    context = {"link_domains_allowed": ["a.com"]}
    read = judge(shipped(), text, task="marketing", channel="email", context=context)
    assert {(f.rule.id, f.text) for f in read.findings} - {("CN-ID-02", "无视</b>征信")} == found
    assert all(text[slice(*finding.span)] == finding.text for finding in read.findings)


def test_what_a_marked_up_message_lacks_is_lacking_of_all_of_it() -> None:
    text = "<p>年末分期</p>"
    context = {"complete": True}
    read = judge(shipped(), text, task="marketing", channel="email", context=context)
    assert {f.rule.id: f.span for f in read.findings}["CN-ID-01"] == (0, len(text))


@pytest.mark.parametrize(
    "text", ["我们不\n保证通过", "请勿 \r\n　百分百相信", "您无需\n担心通过率"]
)
def test_a_wrapped_line_is_read_with_the_next(text: str) -> None:
    assert judge(shipped(), text, task="marketing", channel="email").verdict == "pass"


def test_a_line_that_is_finished_excuses_nothing_in_the_next() -> None:
    for text in ("我们不收费\n百分百下款", "免抵押\n百分百下款", "不\n\n百分百下款"):
        found = judge(shipped(), text, task="marketing", channel="email")
        assert hits(found) == ["百分百下款"]


def test_a_heading_excuses_its_own_list_only() -> None:
    listed = "以下说法都是骗人的：\n黑户可贷"
    assert judge(shipped(), f"{listed}\n百分百下款", task="marketing").verdict == "pass"
    for more in ("\n\n我们的优势\n", "\n我们的优势：\n", "。"):
        found = judge(shipped(), f"{listed}{more}百分百下款", task="marketing")
        assert hits(found) == ["百分百下款"]


# Triggers


PARTINGS = ("\n", " \r\n\n　", "·\n *", "\u2028")


@pytest.mark.parametrize(
    "each", [1, pytest.param(len(PARTINGS), marks=pytest.mark.bench)], ids=["in turn", "all"]
)
def test_a_line_break_hides_no_word(each: int) -> None:
    """each: how many of the partings are tried on one example."""
    pack = load_rules()
    tried = 0
    for rule in pack.rules:
        for example in rule.bad:
            given = Given(example.text, example.task, example.channel, example.context, example.on)
            found = [
                finding
                for finding in review_given(pack, given).findings
                if finding.rule is rule and finding.span != (0, len(given.text))
            ]
            if not found:
                continue
            start, end = found[0].span
            for middle in range(start + 1, end):
                if all("一" <= char <= "龥" for char in given.text[middle - 1 : middle + 1]):
                    break
            else:
                continue
            for turn in range(tried, tried + each):
                parting = PARTINGS[turn % len(PARTINGS)]
                parted = given.text[:middle] + parting + given.text[middle:]
                again = review_given(pack, replace(given, text=parted)).findings
                assert any(finding.rule is rule for finding in again), (rule.id, parted)
                assert all(parted[slice(*f.span)] == f.text for f in again)
            tried += 1
    assert tried > 300


def test_who_says_i_tell_you_quotes_nobody() -> None:
    """What follows `I tell you` are the speaker's own words, not the customer's."""
    pack = load_rules()
    tried, lost = 0, []
    for rule in pack.rules:
        for example in rule.bad:
            # A box to tick is not spoken.
            if not example.text[0].isalnum():
                continue
            for said in ("我跟您说", "跟你讲"):
                given = Given(
                    said + example.text, example.task, example.channel, example.context, example.on
                )
                tried += 1
                if not any(f.rule is rule for f in review_given(pack, given).findings):
                    lost.append((rule.id, given.text))
    assert tried > 1000
    # A word that only stands at the beginning of an answer is none behind it.
    assert len(lost) <= 3, lost


def test_lines_that_end_with_a_clause_are_no_words_that_were_parted() -> None:
    pack = load_rules()
    comma = re.compile("(?<=[一-龥])[，。；](?=[一-龥])")
    tried = 0
    for rule in pack.rules:
        for example in rule.good:
            parted = comma.sub("\n", example.text)
            if parted == example.text:
                continue
            given = Given(parted, example.task, example.channel, example.context, example.on)
            as_it_stands = _judged(
                pack, parted, given.task, given.channel, given.context, given.on, True
            )
            assert review_given(pack, given) == as_it_stands
            tried += 1
    assert tried > 300


def test_a_negation_excuses_in_its_clause_only(pack_of: Any) -> None:
    pack = pack_of(rule_text("patterns = ['包过']\nunless_before = ['@negation']"))
    assert hits(judge(pack, "我们不能包过。")) == []
    assert hits(judge(pack, "不收费，包过。")) == ["包过"]
    assert hits(judge(pack, "不收20,000元，包过")) == ["包过"]


def test_a_warning_excuses_in_its_sentence_only(pack_of: Any) -> None:
    pack = pack_of(
        rule_text("patterns = ['包过']\nunless_before = ['@warning']\nunless_after = ['@warning']")
    )
    assert hits(judge(pack, "谨防中介，说是包过。")) == []
    assert hits(judge(pack, "说是包过，都是骗局。")) == []
    assert hits(judge(pack, "谨防骗局。包过。")) == ["包过"]


def test_a_phrase_excuses_only_what_lies_within_it(pack_of: Any) -> None:
    pack = pack_of(rule_text("patterns = ['最低']\nunless = ['最低还款额?']"))
    assert hits(judge(pack, "按最低还款额还，利率最低")) == ["最低"]


def test_classes_of_words_are_written_out_where_patterns_name_them(pack_of: Any) -> None:
    pack = pack_of(
        "\n[fragments]\nsure = ['必', '包{soft}?']\nsoft = '您|你'\n",
        rule_text("patterns = ['{sure}过{1,2}']"),
    )
    assert hits(judge(pack, "包您过，也必过过。")) == ["包您过", "必过过"]


def test_a_lenders_own_rules_name_the_classes_of_the_shipped_ones(tmp_path: Path) -> None:
    trigger = "patterns = ['下款']\nunless_before = ['{dont}', '{not}{soon}?']"
    own = "[fragments]\nsoon = '马上|立刻'\n" + rule_text(trigger, id="CN-OWN-01")
    (tmp_path / "cn-own.toml").write_text(own, encoding="utf-8")
    pack = load_rules("cn", tmp_path)
    found = {
        text: [f.text for f in judge(pack, text).findings if f.rule.id == "CN-OWN-01"]
        for text in ("您先别下款", "特别下款", "本月不立刻下款", "款项不断下款")
    }
    assert found == {
        "您先别下款": [],
        "特别下款": ["下款"],
        "本月不立刻下款": [],
        "款项不断下款": ["下款"],
    }


def test_what_is_no_part_of_another_word_is_written_once() -> None:
    for guard in ("[^特级分区辨识个性差类告]", "[^仅但光止只管论过错断限同少久]"):
        packs = [file.read_text("utf-8") for file in SHIPPED.glob("cn-*.toml")]
        assert sum(text.count(guard) for text in packs) == 1


@pytest.mark.parametrize(
    ("fragments", "pattern", "why"),
    [
        ("sure = '必'", "{soft}过", r"triggers\[1\].patterns: \{soft\} is none of the fragments"),
        (
            "sure = '{soft}'\nsoft = '{sure}'",
            "过",
            r"zz-all.toml: fragments.sure: .*part of itself",
        ),
        ("sure = '('", "过", r"zz-all.toml: fragments.sure: .*no pattern of RE2"),
        ("sure = 3", "过", r"zz-all.toml: fragments.sure: value: expected a text"),
        ("Sure = '必'", "过", r"zz-all.toml: fragments.Sure: name: expected small letters"),
    ],
)
def test_a_wrong_class_of_words_is_named(
    pack_of: Any, fragments: str, pattern: str, why: str
) -> None:
    with pytest.raises(RulePackError, match=why):
        pack_of(f"\n[fragments]\n{fragments}\n", rule_text(f"patterns = ['{pattern}']"))


def test_a_question_may_excuse_its_answer(pack_of: Any) -> None:
    pack = pack_of(rule_text("patterns = ['可以的']\nunless_question = ['网点']"))
    assert hits(judge(pack, "可以的。")) == ["可以的"]
    assert hits(judge(pack, "可以的。", context=read_context({"question": "能去网点吗"}))) == []


def test_what_is_known_of_a_message_may_excuse_it(pack_of: Any) -> None:
    pack = pack_of(rule_text("patterns = ['免了']\nunless_context = { approved_plan = true }"))
    found = judge(pack, "给您免了。")
    assert hits(found) == ["免了"]
    assert found.unchecked == ()
    assert hits(judge(pack, "给您免了。", context=read_context({"approved_plan": True}))) == []


def test_a_pack_may_say_what_else_can_be_known_of_a_message(pack_of: Any) -> None:
    own = '\n[context]\nprescreened = "bool"\n'
    pack = pack_of(own, rule_text("context = { prescreened = true }"))
    said = read_context({"prescreened": True}, pack.context_keys)
    assert judge(pack, "您好", context=said).verdict == "block"
    with pytest.raises(ContextError, match="'prescreened' is not known"):
        read_context({"prescreened": True})
    for wrong in ('"yes"', "[]", "[1]", "5"):
        with pytest.raises(RulePackError, match=r"zz-all.toml: context.x: expected one of"):
            pack_of(f"\n[context]\nx = {wrong}\n", rule_text("patterns = ['包过']"))


def test_a_pack_may_say_which_words_can_be_said_of_a_message(pack_of: Any) -> None:
    own = '\n[context]\nsegment = ["new", "renewing"]\n'
    pack = pack_of(own, rule_text("context = { segment = 'new' }"))
    said = read_context({"segment": "new"}, pack.context_keys)
    assert judge(pack, "您好", context=said).verdict == "block"
    with pytest.raises(ContextError, match="'segment': expected one of new, renewing"):
        read_context({"segment": "News"}, pack.context_keys)
    with pytest.raises(RulePackError, match=r"context.segment: context 'segment': expected one"):
        pack_of(own, rule_text("context = { segment = ['new', 'nwe'] }"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("点 https://qingsui.example/a 查看", []),
        ("点 https://m.qingsui.example/a 查看", []),
        (
            "点 https://qingsui.example@evil.example/a 查看",
            ["https://qingsui.example@evil.example"],
        ),
        ("点 http://yunli.anything/x 查看", ["http://yunli.anything"]),
        ("打开 abc.loanz/x 申请", ["abc.loanz"]),
        ("写信到 service@other.com", []),
    ],
)
def test_links_are_compared_with_the_domains_that_the_institution_has_set(
    tmp_path: Path, text: str, found: list[str]
) -> None:
    (tmp_path / "zz-all.toml").write_text(
        HEAD + rule_text('check = "links_elsewhere"'), encoding="utf-8"
    )
    (tmp_path / "settings.toml").write_text(
        '[zz]\nown_domains = ["qingsui.example"]\n', encoding="utf-8"
    )
    review = judge(load_rules("zz", tmp_path), text)
    assert hits(review) == found
    assert review.unchecked == ()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("点 ｅｖｉｌ．ｃｏｍ 办理", ["ｅｖｉｌ．ｃｏｍ"]),
        ("点evil。com办理", ["evil。com"]),
        ("点 evil[.]com 办理", ["evil[.]com"]),
        ("ev\u200bil.com", ["ev\u200bil.com"]),
        ("贷款.中国", ["贷款.中国"]),
        ("evil.xin", ["evil.xin"]),
        ("1.2.3.4/a", ["1.2.3.4"]),
        ("hxxps://evil.example/a", ["hxxps://evil.example"]),
        # Looks like x.cn.
        ("х.cn 与 https://х.cn/a", ["х.cn", "https://х.cn"]),
        ("点Ｘ．ＣＮ办理，或m.x.cn/a", []),
        ("详见准信.中国，版本1.2.3.4已发布", []),
        ("已装APP。点一下，收到资料.公司会审核", []),
    ],
)
def test_a_link_is_one_however_it_is_written(text: str, found: list[str]) -> None:
    allowed = read_context({"link_domains_allowed": ["x.cn", "准信.中国"]})
    links = judge(shipped(), text, task="marketing", context=allowed).findings
    assert [f.text for f in links if f.rule.id == "CN-ID-05"] == found


def test_quiet_hours_may_be_told_by_the_clock_of_the_message() -> None:
    pack = load_rules("us")
    text = "Please call us about your account."
    for at, verdict in (("T05:30:00-08:00", "block"), ("T20:30:00-08:00", "pass")):
        context = read_context({"at": f"2026-11-20{at}"}, pack.context_keys)
        found = judge(pack, text, task="collections", channel="phone", context=context)
        assert found.verdict == verdict


def test_an_article_that_nobody_read_is_not_named_in_the_pack_of_the_united_states() -> None:
    found = judge(load_rules("us"), "Guaranteed approval for everyone!", task="marketing")
    shown = review_as_json(found)["findings"]
    assert {row["rule"] for row in shown} == {"US-UDAAP-01"}
    assert all(row["source"]["article"] is None for row in shown)
    assert all(row["suggestion_en"] for row in shown)


def given_to(pack: RulePack, text: str, **said: Any) -> Given:
    row = {"text": text, "task": "chat"} | said
    return read_message(pack, row, on=TODAY, today=TODAY)


def test_wording_warns_where_no_rule_finds_anything_and_only_there() -> None:
    pack = shipped()
    text = "您把那串六位的数字念给我听听，我这边马上替您把款放出来，谁来都一样能批。"
    asked = given_to(pack, text, task="marketing")
    nothing = replace(review_given(pack, asked), findings=(), verdict="pass")
    warned = review_wording(pack, nothing, asked)
    assert warned.verdict == "warn"
    assert [f.severity for f in warned.findings] == ["warn"]
    start, end = warned.findings[0].span
    assert text[start:end] == warned.findings[0].text
    known = review_given(pack, given_to(pack, "放心吧，百分百下款。", task="marketing"))
    assert review_wording(pack, known, asked) is known
    (alike,) = review_wording(load_rules("us,cn"), nothing, asked).findings
    assert (alike.rule.id, alike.span) == (warned.findings[0].rule.id, warned.findings[0].span)
    polite = given_to(pack, "您好，提前结清不收违约金，请在App内办理，以合同为准。")
    assert review_wording(pack, review_given(pack, polite), polite).verdict == "pass"


def test_wording_says_nothing_where_nothing_was_fitted() -> None:
    pack = load_rules("us")
    said = given_to(pack, "Your application is being reviewed.")
    found = review_given(pack, said)
    assert review_wording(pack, found, said) is found


def test_what_else_stands_in_the_sentence_or_message_counts(pack_of: Any) -> None:
    beside = pack_of(
        rule_text("patterns = ['最快']\nonly_with = ['到账']\nunless_with = ['以银行']")
    )
    assert hits(judge(beside, "最快3分钟到账")) == ["最快"]
    assert hits(judge(beside, "最快3分钟。到账")) == []
    assert hits(judge(beside, "最快3分钟到账，以银行为准")) == []
    whole = pack_of(rule_text("patterns = ['日息']\nrequires_any = ['年化', '年利率']"))
    assert hits(judge(whole, "日息0.05%。")) == ["日息"]
    assert hits(judge(whole, "日息0.05%。年化18.25%。")) == []
    assert hits(judge(whole, "日息0.05%。", whole=False)) == []
    both = pack_of(rule_text("requires_all = ['期限', '条件']\nmessage_with = ['抽奖']"))
    assert hits(judge(both, "抽奖，期限三天")) == ["抽奖，期限三天"]
    assert hits(judge(both, "抽奖，期限和条件见页面")) == []
    assert hits(judge(both, "期限三天")) == []


def test_figures_are_compared_with_settings_in_digits_and_words(pack_of: Any) -> None:
    found = judge(shipped(), "年利率百分之三十六；日息万分之八；24小时客服，共24期")
    rates = [f.text for f in found.findings if f.rule.id == "CN-RATE-06"]
    assert rates == ["百分之三十六", "万分之八"]
    pack = pack_of(
        rule_text(
            "figures = [{ quantity = 'money_cny', over = 200000, near = ['额度|可借'], "
            "not_near = ['累计'] }]"
        )
    )
    assert hits(judge(pack, "额度三十万，注册资本50万元，累计额度90万元")) == ["三十万"]
    assert hits(judge(pack, "最高可借 200,000 元")) == []
    assert hits(judge(pack, "可借5万-30万元")) == ["5万-30万元"]


def test_a_round_amount_above_the_highest_line_is_found() -> None:
    for said in ("30多万", "三十多万", "50来万", "30余万元", "卅万元"):
        found = judge(shipped(), f"额度最高{said}", task="marketing", channel="in_app")
        assert [f.text for f in found.findings if f.rule.id == "CN-CAP-01"] == [said]
    assert judge(shipped(), "一来省事，二来万一逾期，额度也够", task="marketing").verdict == "pass"


@pytest.mark.parametrize(
    ("currency", "found"),
    [
        ("HKD", ["HK$200,000", "$300,000", "20萬港元", "1.5 million"]),
        ("USD", ["HK$200,000", "20萬港元"]),
        ("", ["HK$200,000", "20萬港元"]),
    ],
)
def test_dollars_are_those_of_the_jurisdiction(
    pack_of: Any, tmp_path: Path, currency: str, found: list[str]
) -> None:
    (tmp_path / "rules").mkdir()
    if currency:
        own = tmp_path / "rules" / "settings.toml"
        own.write_text(f'[zz]\ncurrency = "{currency}"\n', encoding="utf-8")
    pack = pack_of(rule_text("figures = [{ quantity = 'money_hkd', over = 100000 }]"))
    text = "loans of HK$200,000; of $300,000; 20萬港元; US$400,000; of 1.5 million, of HKD 90,000"
    assert hits(judge(pack, text)) == found


def test_an_amount_owed_is_compared_in_the_currency_of_the_jurisdiction(
    pack_of: Any, tmp_path: Path
) -> None:
    (tmp_path / "rules").mkdir()
    own = tmp_path / "rules" / "settings.toml"
    own.write_text('[zz]\ncurrency = "USD"\n', encoding="utf-8")
    pack = pack_of(rule_text("check = 'amount_differs'"))
    due = {"amount_due_cny": "212.40"}
    assert hits(judge(pack, "You owe $213.40", context=due)) == ["$213.40"]
    assert hits(judge(pack, "You owe $212.40", context=due)) == []


def test_what_is_required_and_denied_is_not_there(pack_of: Any) -> None:
    pack = pack_of(
        rule_text(
            "context = { complete = true }\nrequires_any = ['退订']\nunless_before = ['没有']"
        )
    )
    done = {"complete": True}
    assert judge(pack, "没有退订", context=done).verdict == "block"
    assert judge(pack, "没有退订。退订回复T", context=done).verdict == "pass"
    long = "您好。" * 2000
    assert judge(pack, f"{long}没有退订{long}", context=done).verdict == "block"
    assert judge(pack, f"{long}退订{long}", context=done).verdict == "pass"


def test_what_the_customer_asked_counts(pack_of: Any) -> None:
    pack = pack_of(rule_text("question = ['真人']\nrequires_any = ['机器人|智能']"))
    asked = {"question": "你是真 人吗"}
    assert judge(pack, "我是小青", context=asked).verdict == "block"
    assert judge(pack, "我是智能客服", context=asked).verdict == "pass"
    assert judge(pack, "我是小青", context={"question": "利率多少"}).verdict == "pass"
    assert judge(pack, "我是小青").unchecked[0].needs == ("question",)


def test_a_rule_without_its_context_is_unchecked_and_changes_nothing(pack_of: Any) -> None:
    pack = shipped()
    found = judge(pack, "【青穗消金】周末活动", task="marketing", channel="sms")
    assert found.verdict == "pass"
    assert {u.rule.id: u.needs for u in found.unchecked}["CN-CONT-03"] == ("at", "sent_this_week")
    student = pack_of(rule_text("patterns = ['额度']\ncontext = { 'customer.student' = true }"))
    assert judge(student, "您有额度").unchecked[0].needs == ("customer.student",)
    assert judge(student, "您好").unchecked == ()
    assert judge(student, "您有额度", context={"customer": {"student": True}}).verdict == "block"
    assert judge(student, "您有额度", context={"customer": {"student": False}}).verdict == "pass"


def test_quiet_hours_are_the_recipients() -> None:
    def at(when: str) -> list[str]:
        found = judge(
            shipped(),
            "活动。拒收请回复R",
            task="marketing",
            channel="sms",
            context={"at": when, "sent_this_week": 0, "opted_out": False},
        )
        return [finding.rule.id for finding in found.findings]

    assert at("2026-11-20T20:59:59+08:00") == []
    assert at("2026-11-20T21:00:00+08:00") == ["CN-CONT-03"]
    assert at("2026-11-20T14:00:00+00:00") == ["CN-CONT-03"]
    assert at("2026-11-20T00:59:00+00:00") == ["CN-CONT-03"]
    assert at("2026-11-20T01:00:00+00:00") == []


@pytest.mark.parametrize(
    ("clock", "is_quiet"), [("20:00", True), ("23:59", True), ("09:59", True), ("10:00", False)]
)
def test_a_rule_may_have_hours_of_its_own(pack_of: Any, clock: str, is_quiet: bool) -> None:
    pack = pack_of(rule_text("context = { at = { within = [20:00:00, 10:00:00] } }"))
    found = judge(pack, "您好", context={"at": f"2026-11-20T{clock}:00+00:00"})
    assert bool(found.findings) is is_quiet


def test_a_message_is_judged_by_the_rules_of_its_day(pack_of: Any) -> None:
    dates = "effective_from = 2026-09-30\neffective_to = 2026-12-31"
    pack = pack_of(rule_text("patterns = ['秒批']", dates))
    for day, verdict in (
        (date(2026, 9, 29), "pass"),
        (date(2026, 9, 30), "block"),
        (date(2026, 12, 31), "block"),
        (date(2027, 1, 1), "pass"),
    ):
        assert judge(pack, "秒批", on=day).verdict == verdict


def test_rules_apply_to_their_tasks_and_channels(pack_of: Any) -> None:
    pack = pack_of(rule_text("patterns = ['秒批']", 'channels = ["sms"]'))
    assert judge(pack, "秒批", task="collections").verdict == "pass"
    assert judge(pack, "秒批", channel="email").verdict == "pass"
    assert judge(pack, "秒批", channel="sms").verdict == "block"
    assert judge(pack, "秒批").verdict == "block"


def test_evasion_may_be_switched_off(pack_of: Any) -> None:
    pack = pack_of(rule_text("patterns = ['包过']\nevasion = false"))
    assert hits(judge(pack, "包 过")) == []
    assert hits(judge(pack, "包过")) == ["包过"]


@pytest.mark.parametrize("evasion", ["true", "false"])
def test_what_excuses_a_figure_is_looked_for_beside_it(pack_of: Any, evasion: str) -> None:
    stars = "★ 好 ★ 消 ★ 息 ★ 来 ★ 了 ★ 哦 ★。"
    over = f"evasion = {evasion}\nfigures = [{{ quantity = 'annual_rate', over = 0.3"
    forbidden = pack_of(rule_text(f"{over} }}]\nunless_before = ['禁止']"))
    assert hits(judge(forbidden, stars + "禁止宣传年利率36%")) == []
    assert hits(judge(forbidden, stars + "年利率36%")) == ["36%"]
    near = pack_of(rule_text(f"{over}, near = ['宣传'] }}]"))
    assert hits(judge(near, stars + "宣传年利率36%，先看")) == ["36%"]
    links = pack_of(
        rule_text(f"evasion = {evasion}\ncheck = 'links_elsewhere'\nunless_before = ['勿点']")
    )
    said = {"link_domains_allowed": ["qingsui.example"]}
    found = judge(links, stars + "请勿点 http://a.example 谢谢", context=said)
    assert hits(found) == []


def test_overlapping_findings_of_a_rule_are_one_with_the_worst_severity(pack_of: Any) -> None:
    pack = pack_of(
        rule_text(
            "patterns = ['百分百下款']\n[[rules.triggers]]\nseverity = 'warn'\n"
            "patterns = ['下款快', '秒到']"
        )
    )
    found = judge(pack, "秒到，百分百下款快")
    assert [(f.text, f.severity) for f in found.findings] == [
        ("秒到", "warn"),
        ("百分百下款快", "block"),
    ]
    assert found.verdict == "block"
    assert judge(pack, "秒到").verdict == "warn"


def test_a_finding_says_on_which_channels_alone_it_is_one(pack_of: Any) -> None:
    def shown(found: Review) -> list[tuple[str, str, list[str]]]:
        rows = review_as_json(found)["findings"]
        return [(row["text"], row["severity"], row["channels"]) for row in rows]

    pack = pack_of(
        rule_text(
            "patterns = ['包过']\nchannels = ['push', 'sms']\n"
            "[[rules.triggers]]\nseverity = 'warn'\npatterns = ['过了', '秒批']\n"
            "[[rules.triggers]]\npatterns = ['秒批快', '必批']\nchannels = ['email']\n"
            "[[rules.triggers]]\npatterns = ['必批的']\nchannels = ['push']\n"
            "[[rules.triggers]]\npatterns = ['批的哦']"
        )
    )
    assert shown(judge(pack, "包过")) == [("包过", "block", ["sms", "push"])]
    assert shown(judge(pack, "包过", channel="sms")) == [("包过", "block", [])]
    # Of two that overlap, those on which it is the worse; of two alike, those of either.
    assert shown(judge(pack, "包过了")) == [("包过了", "block", ["sms", "push"])]
    assert shown(judge(pack, "秒批快")) == [("秒批快", "block", ["email"])]
    assert shown(judge(pack, "必批的")) == [("必批的", "block", ["push", "email"])]
    assert shown(judge(pack, "必批的哦")) == [("必批的哦", "block", [])]
    text = "【准信消费金融】您的借款已逾期3天，应还1,256.30元，请尽快还款。"
    (found,) = shown(judge(shipped(), text, task="collections"))
    assert found[1:] == ("block", ["push"])


def test_an_article_is_named_only_where_its_text_or_a_quote_is_held(pack_of: Any) -> None:
    heard = rule_text("patterns = ['秒批']").replace(
        'source = "AD", article = "第四条", evidence = "text"',
        'source = "HEARSAY", article = "第六条", evidence = "secondary"',
    )
    (finding,) = review_as_json(judge(pack_of(heard), "秒批"))["findings"]
    assert finding["source"] == {
        "regulation": "某通知",
        "article": None,
        "evidence": "secondary",
        "verified": False,
    }
    (finding,) = review_as_json(judge(pack_of(rule_text("patterns = ['秒批']")), "秒批"))[
        "findings"
    ]
    assert finding["source"]["article"] == "第四条"
    assert finding["span"] == [0, 2]


@pytest.mark.parametrize(
    ("fee", "months"), [("0.006", 12), ("0.006", 6), ("0.0075", 24), ("0", 12)]
)
def test_the_annual_rate_of_an_instalment_fee_discounts_its_payments_to_the_principal(
    fee: str, months: int
) -> None:
    monthly = flat_fee_annual_rate(Decimal(fee), months) / 12
    payment = Decimal(1) / months + Decimal(fee)
    worth = sum(payment / (1 + monthly) ** month for month in range(1, months + 1))
    assert abs(worth - 1) < Decimal("1e-9")


def test_an_instalment_fee_comes_to_what_the_announcement_s_readers_compute() -> None:
    assert f"{flat_fee_annual_rate(Decimal('0.006'), 12):.3f}" == "0.130"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("日利率0.05%，年化18.25%", []),
        ("日利率0.05%，年化18%", []),
        ("日利率0.05%，年化15%", ["15%"]),
        ("日利率0.05%，年化18.1%", ["18.1%"]),
        ("日利率0.02%至0.05%，年化7.3%至18.25%", []),
        ("日利率0.02%至0.05%，年化7.3%至16%", ["7.3%至16%"]),
        ("月利率1.5%，年化18%", []),
        ("月利率1.5%，年化16%", ["16%"]),
        ("每期手续费0.6%，分12期，年化7.2%", ["7.2%"]),
        ("月费率0.6%，12期，年化13.03%", []),
        ("每千元每天0.5元，年化18.25%", []),
        ("每千元每天0.5元，年化9%", ["9%"]),
        ("借1万元一天利息5元，年化利率18.25%", []),
        ("借1万元一天利息5元，年化利率7.2%", ["7.2%"]),
        ("借10000元分12期，每期还916.80元，年化利率18%", []),
        ("借10000元分12期，每期还916.80元，年化利率10%", ["10%"]),
        ("借款1.2万元，分12期，每月还1072元，年化利率7.2%", ["7.2%"]),
        ("借款1.2万元，分12期，每月还1072元，年化利率13.03%", []),
        # 899.79 by the formula of the annuity; cut to the yuan, rounded up, and neither.
        ("月还899元，借款1万元12期，年利率14.4%", []),
        ("月还900元，借款1万元12期，年利率14.4%", []),
        ("月还902元，借款1万元12期，年利率14.4%", ["14.4%"]),
        ("月还897元，借款1万元12期，年利率14.4%", ["14.4%"]),
        ("年化7.2%至24%，最长12期", []),
        ("罚息日利率0.075%，年化利率18%", []),
        ("第3期每期手续费0.6%", []),
        ("每期费率0.6%，一年下来就是7.2%的年化利率", ["7.2%"]),
        ("每期费率0.6%，年化13.03%", []),
        ("借12000元分12期，每期还本金1000元、手续费72元，年化利率13.03%", []),
        ("借12000元分12期，每期还本金1000元、手续费72元，年化利率8.64%", ["8.64%"]),
        ("借12000元分12期，每期还本金1000元，年化利率13.03%", []),
        ("借12000元分12期，每期还本金1000元，利息30元，手续费42元，年化利率13.03%", []),
        ("借12000元分12期，每期还本金1000元，利息30元，手续费42元，年化利率5.5%", ["5.5%"]),
        ("借12000元分12期，每期还本金1000元、手续费72元，共付手续费864元，年化13.03%", []),
        ("借本金12000元分12期每期还1072元，年化利率8%", ["8%"]),
        ("日利率约0.04%，年化利率15.4%", []),
        ("日利率0.04%左右，年化利率15.4%", []),
        ("日利率0.04%，年化利率15.4%", ["15.4%"]),
        ("日利率约0.04%，年化利率17.4%", ["17.4%"]),
        ("月利率大概1.2%，年化14.9%", []),
    ],
)
def test_an_annual_rate_must_be_what_the_other_price_comes_to(text: str, wrong: list[str]) -> None:
    found = judge(shipped(), text, task="marketing")
    assert [f.text for f in found.findings if f.rule.id == "CN-RATE-02"] == wrong


@pytest.mark.parametrize(
    ("text", "over"),
    [
        ("年化19%的利息，另加担保费7%", ["7%"]),
        ("年化利率18%，担保费2%", []),
        ("年化利率12%至18%，会员费率8%，服务费1%", ["8%"]),
        ("担保费7%", []),
        ("年化利率18%，另有10%的客户选择自动还款", []),
        ("年化综合融资成本19%，其中担保费6%", []),
        ("年化利率19%，已含担保费6%", []),
        ("年化利率19%，另加担保费7%。活动内容很多，详情见页面，包括首页和我的。", ["7%"]),
    ],
)
def test_fees_count_with_the_annual_rate_against_the_ceiling(text: str, over: list[str]) -> None:
    found = judge(shipped(), text, task="chat")
    assert [f.text for f in found.findings if f.rule.id == "CN-RATE-06" and f.text in over] == over
    assert over or "CN-RATE-06" not in {f.rule.id for f in found.findings}


# Loading


def mistake(tmp_path: Path, text: str, name: str = "zz-mine.toml") -> str:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(RulePackError) as raised:
        load_rules("zz" if name.startswith("zz") else "cn", tmp_path / name)
    return str(raised.value)


GOOD = HEAD + rule_text("patterns = ['包过']")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("patterns = ['包过']", "pattern = ['包过']", "triggers[1].pattern"),
        ("patterns = ['包过']", "patterns = ['包(过']", "triggers[1].patterns"),
        ("patterns = ['包过']", r"patterns = ['(?=包)过']", "triggers[1].patterns"),
        ("patterns = ['包过']", "patterns = ['(包过)*']", "matches nothing at all"),
        (
            "patterns = ['包过']",
            "patterns = ['((包{1,100}){1,100}){1,100}']",
            "triggers[1].patterns",
        ),
        ("patterns = ['包过']", "patterns = '包过'", "expected a list"),
        ("patterns = ['包过']", "unless = ['包过']", "no condition"),
        ("patterns = ['包过']", "patterns = ['包过']\nunless_before = ['@no']", "'@no'"),
        *(
            ("patterns = ['包过']", f"patterns = ['包过']\n{field} = ['@warning']", f"{field}: '@w")
            for field in ("unless", "unless_with", "only_with", "requires_any")
        ),
        ("patterns = ['包过']", "patterns = ['@no']", "triggers[1].patterns: '@no': lists of"),
        (
            "patterns = ['包过']",
            "figures = [{ quantity = 'percentage', not_near = ['@warning'] }]",
            "triggers[1].figures[1].not_near: '@warning': lists of",
        ),
        (
            "patterns = ['包过']",
            "patterns = ['包过']\ntasks = ['chat', 'agent']",
            "triggers[1].tasks: the rule is not for agent",
        ),
        (
            '"六"]\n[[rules.triggers]]',
            '"六"]\nchannels = ["sms"]\n[[rules.triggers]]\nchannels = ["push", "sms"]',
            "triggers[1].channels: the rule is not for push",
        ),
        ("patterns = ['包过']", "check = 'magic'", "triggers[1].check"),
        ("patterns = ['包过']", "check = 'costs_add_up'", "needs the setting apr_block"),
        ("patterns = ['包过']", "evasion = 'no'\npatterns = ['包过']", "triggers[1].evasion"),
        ("patterns = ['包过']", "context = { wether = true }", "context.wether"),
        ("patterns = ['包过']", "context = { consent = 'no' }", "context.consent"),
        ("patterns = ['包过']", "context = { recipient = 'third party' }", "context.recipient"),
        ("patterns = ['包过']", "context = { recipient = [] }", "context.recipient: is empty"),
        (
            'good = ["四"',
            'good = [{ text = "四", context = { recipient = "nobody" } }',
            "good[1]: context 'recipient': expected one of borrower",
        ),
        ("patterns = ['包过']", "context = { at = { within = ['a', 'b'] } }", "context.at.within"),
        (
            "patterns = ['包过']",
            "context = { at = { within = [21:00:00, 'own_quiet_to'] } }",
            "context.at.within: 'own_quiet_to' is no setting with a time, and no time such as",
        ),
        (
            "patterns = ['包过']",
            "context = { at = { within = [21:00:00] } }",
            "context.at.within: expected two times such as 21:00:00",
        ),
        (
            "patterns = ['包过']",
            "context = { at = { within = [21:00:00, 08:00:00], over = 3 } }",
            "context.at.within: it is for an instant such as `at`, with no bounds",
        ),
        (
            "patterns = ['包过']",
            "context = { calls_today = { within = [21:00:00, 08:00:00] } }",
            "context.calls_today.within: it is for an instant",
        ),
        ("patterns = ['包过']", "context = { consent = { over = 3 } }", "context.consent"),
        ("patterns = ['包过']", "figures = [{ quantity = 'weight' }]", "figures[1].quantity"),
        (
            "patterns = ['包过']",
            "figures = [{ quantity = 'money_cny', over = 'apr_blok' }]",
            "figures[1].over",
        ),
        (
            "patterns = ['包过']",
            "figures = [{ quantity = 'annual_rate', over = nan }]",
            "triggers[1].figures[1].over: expected a finite number",
        ),
        (
            "patterns = ['包过']",
            "context = { 'customer.age' = { under = inf } }",
            "context.customer.age.under: expected a finite number",
        ),
        ('severity = "block"', 'severity = "stop"', "severity"),
        ('anchor = "derived"', 'anchor = "sure"', "anchor"),
        ('tasks = ["chat", "marketing"]', 'tasks = ["chatting"]', "tasks"),
        ('tasks = ["chat", "marketing"]', "tasks = []", "tasks"),
        ('title_en = "title"', "", "title_en"),
        ('suggestion_zh = "改写"', "suggestion_zh = 3", "suggestion_zh"),
        ('source = "AD"', 'source = "ADX"', "sources[1].source"),
        ('evidence = "text"', 'evidence = "sure"', "sources[1].evidence"),
        ('bad = ["一", "二", "三"]', 'bad = ["一", "二"]', "bad"),
        ('good = ["四", "五", "六"]', 'good = ["四", "五", { txt = "六" }]', "good[3].txt"),
        ("bad = [", "effective_from = '2026-01-01'\nbad = [", "effective_from"),
        (
            "bad = [",
            "effective_from = 2026-02-01\neffective_to = 2026-01-01\nbad = [",
            "effective_to",
        ),
        ('id = "ZZ-01"', 'id = "ZZ-01"\nremark = "x"', "remark"),
    ],
)
def test_a_mistake_is_told_with_file_rule_and_field(
    tmp_path: Path, old: str, new: str, told: str
) -> None:
    assert old in GOOD
    message = mistake(tmp_path, GOOD.replace(old, new))
    assert message.startswith("zz-mine.toml: rule ZZ-01: ")
    assert told in message


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[rules]", "not valid TOML"),
        ("rules = 3", "rules: expected [[rules]]"),
        ("fragments = 5", "zz-mine.toml: fragments: expected a table"),
        (f"rules = {'[' * 100_000}", "zz-mine.toml: not valid TOML (nested too deeply)"),
        (f"rules = {'9' * 5000}", "zz-mine.toml: not valid TOML"),
        (HEAD, "there are none"),
        (HEAD + "[sorces.X]\ntitle = 'x'", "sorces"),
        (HEAD + "[sources.X]\ntitle = 'x'\nheld = 'perhaps'", "sources.X: held"),
        (HEAD + "[words.x]\npatterns = ['(']", "words.x: patterns"),
        (HEAD + "[words.x]\npatterns = ['a']\nreach = 'page'", "words.x: reach"),
        (GOOD + rule_text("patterns = ['b']"), "rule ZZ-01: id: 'ZZ-01' is taken"),
    ],
)
def test_a_mistake_in_a_file_is_told(tmp_path: Path, text: str, told: str) -> None:
    assert told in mistake(tmp_path, text)


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    two = HEAD + rule_text("patterns = ['(']") + rule_text("check = 'no'", id="ZZ-02")
    assert len(mistake(tmp_path, two).splitlines()) == 2


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("settings.toml", "[cn]\napr_blok = 0.2", "settings.toml: cn.apr_blok: no such setting"),
        ("settings.toml", "[cn]\napr_block = '20%'", "settings.toml: cn.apr_block: expected"),
        ("settings.toml", "[cn]\nmarketing_quiet_from = true", "marketing_quiet_from"),
        ("settings.toml", "apr_block = 0.15", "settings.toml: apr_block: expected it in a table"),
        ("settings.toml", "cn = 5", "settings.toml: cn: expected it in a table"),
        ("settings.toml", "[CN]\napr_block = 0.15", "settings.toml: CN: no such jurisdiction"),
        ("settings.toml", "[china]\n", "settings.toml: china: no such jurisdiction"),
        ("settings.toml", "[any]\napr_block = 0.15", "settings.toml: any.apr_block: no such"),
        ("settings.toml", "[cn]\napr_block = 20", "cn.apr_block: expected a fraction from 0 to 1"),
        ("settings.toml", "[cn]\napr_block = -1", "cn.apr_block: expected a number from 0"),
        ("settings.toml", "[cn]\napr_block = inf", "cn.apr_block: expected a finite number"),
        ("settings.toml", "[cn]\nmarketing_sms_per_week = nan", "expected a finite number"),
        (
            "settings.toml",
            "[cn]\napr_block = 0.15\napr_warn = 0.20",
            "cn.apr_block: 0.15 is below apr_warn",
        ),
        ("settings.toml", "[cn]\ncurrency = '$'", "cn.currency: expected one of CNY, HKD, USD"),
        ("settings.toml", "[cn]\ntimezone = ['a']", "cn.timezone: ['a'] is no time zone"),
        ("settings.toml", f"[cn]\napr_block = {'9' * 5000}", "settings.toml: not valid TOML"),
        ("settings.toml", f"[cn]\napr_block = {'[' * 100_000}", "nested too deeply"),
        ("variants.toml", f"words = {'[' * 100_000}", "nested too deeply"),
        ("variants.toml", f"words = {'9' * 5000}", "cannot be read"),
        ("variants.toml", "[words]\n'贷款' = ['\u200b']", "variants.toml: words: a disguise"),
        ("CN-own.toml", "", "expected settings.toml"),
        ("cn-own.TOML", "", "expected settings.toml"),
        ("variants.toml", "[words]\n'贷款' = 'dk'", "variants.toml: words"),
        ("variants.toml", "protected = ['abc']", "'abc'"),
        ("mine.toml", "", "expected settings.toml"),
    ],
)
def test_a_mistake_in_a_lenders_own_settings_is_told(
    tmp_path: Path, name: str, text: str, told: str
) -> None:
    assert told in mistake(tmp_path, text, name)
    with pytest.raises(RulePackError, match=re.escape(told)):
        load_rules("cn", tmp_path)


def test_what_an_institution_sets_for_any_jurisdiction_is_used_in_each(tmp_path: Path) -> None:
    own = tmp_path / "settings.toml"
    own.write_text('[any]\nown_domains = ["a.com"]\ntimezone = "Asia/Tokyo"\n', encoding="utf-8")
    for jurisdiction in ("cn", "us"):
        found = load_rules(jurisdiction, tmp_path).settings
        assert (found["own_domains"], found["timezone"]) == (("a.com",), "Asia/Tokyo")
    own.write_text("[any]\nday_count = 360\n[cn]\nday_count = 365\n", encoding="utf-8")
    assert load_rules("cn", tmp_path).settings["day_count"] == 365
    assert load_rules("us", tmp_path).settings["day_count"] == 360


def test_settings_of_a_jurisdiction_of_ones_own_stand_beside_those_of_others(
    tmp_path: Path,
) -> None:
    (tmp_path / "zz-mine.toml").write_text(GOOD, encoding="utf-8")
    settings = "[zz]\napr_block = 0.2\nmarketing_sms_per_week = 1\n"
    (tmp_path / "settings.toml").write_text(settings, encoding="utf-8")
    kept = load_rules("cn", tmp_path)
    assert of_text(kept.text).version == kept.version
    assert list(passed_by(kept, tmp_path)) == ["zz-mine.toml"]
    mine = load_rules("zz", tmp_path)
    assert mine.settings["apr_block"] == Decimal("0.2")
    assert passed_by(mine, tmp_path) == {}
    (tmp_path / "settings.toml").write_text("[zz]\napr_block = 20\n", encoding="utf-8")
    with pytest.raises(RulePackError, match=r"zz\.apr_block: expected a fraction"):
        load_rules("zz", tmp_path)


HK = GOOD.replace("ZZ-01", "HK-01") + (
    rule_text(
        "context = { at = { within = ['marketing_quiet_from', 'marketing_quiet_to'] } }", id="HK-02"
    )
    + rule_text("figures = [{ quantity = 'money_cny', over = 'line_max' }]", id="HK-03")
    + rule_text("patterns = ['https?:']\ncheck = 'links_elsewhere'", id="HK-04")
    + rule_text("context = { licensed = false }", id="HK-05")
    + "[context]\nlicensed = 'bool'\n"
)
HK_SETTINGS = """
[hk]
timezone = "Asia/Tokyo"
marketing_quiet_from = 18:00:00
marketing_quiet_to = 19:00:00
line_max = 1000
own_domains = ["a.com.hk"]
"""


def hk_folder(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "hk-own.toml").write_text(HK, encoding="utf-8")
    (folder / "settings.toml").write_text(HK_SETTINGS, encoding="utf-8")
    return folder


def test_packs_that_are_joined_judge_each_by_its_own_settings(tmp_path: Path) -> None:
    pack = load_rules("cn, hk,cn", hk_folder(tmp_path))
    assert pack.jurisdiction == "cn,hk"
    assert pack.settings == load_rules("cn", tmp_path).settings
    assert {rule.id for rule in pack.rules} == {
        rule.id for each in ("cn", "hk") for rule in load_rules(each, tmp_path).rules
    }
    both = judge(pack, "包过，额度最高25万元，请看http://b.com.hk", task="marketing")
    found = {finding.rule.id for finding in both.findings}
    assert {"CN-PROM-01", "CN-CAP-01", "HK-01", "HK-03", "HK-04"} <= found
    assert {f.rule.id for f in judge(pack, "额度最高5万元", task="marketing").findings} >= {"HK-03"}
    quiet = {"at": "2026-11-20T17:30:00+08:00", "licensed": False}
    context = read_context(quiet, pack.context_keys)
    found = {f.rule.id for f in judge(pack, "您好", task="marketing", context=context).findings}
    assert found == {"HK-02", "HK-05"}
    of_cn = judge(load_rules("cn", tmp_path), "您好", task="marketing", context=context)
    assert not of_cn.findings
    again = of_text(pack.text)
    assert (again.version, again.others) == (pack.version, pack.others)
    assert judge(again, "包过", task="marketing").verdict == "block"


def test_joined_packs_have_no_two_rules_of_one_name(tmp_path: Path) -> None:
    (tmp_path / "zz-own.toml").write_text(GOOD, encoding="utf-8")
    (tmp_path / "yy-own.toml").write_text(GOOD, encoding="utf-8")
    with pytest.raises(RulePackError, match=r"^yy-own\.toml: rule ZZ-01: id: 'ZZ-01' is taken"):
        load_rules("zz,yy", tmp_path)
    with pytest.raises(RulePackError, match=r"no rule pack for 'fr'; there are cn, us, yy, zz$"):
        load_rules("zz,fr", tmp_path)


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    mark = "\ufeff"
    (tmp_path / "zz-mine.toml").write_text(mark + GOOD, encoding="utf-8")
    (tmp_path / "settings.toml").write_text(f"{mark}[zz]\nday_count = 360\n", encoding="utf-8")
    (tmp_path / "variants.toml").write_text(f"{mark}fillers = '_'\n", encoding="utf-8")
    pack = load_rules("zz", tmp_path)
    assert hits(judge(pack, "包_过")) == ["包_过"]
    assert of_text(pack.text).version == pack.version


def test_a_lenders_own_folder_adds_rules_and_changes_settings(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("[cn]\napr_block = 0.15\n", encoding="utf-8")
    (tmp_path / "variants.toml").write_text("[words]\n'下款' = ['夏天']\n", encoding="utf-8")
    own = rule_text("patterns = ['本行']", id="OWN-01")
    (tmp_path / "cn-own.toml").write_text(own, encoding="utf-8")
    pack = load_rules("cn", tmp_path)
    assert len(pack.rules) == len(shipped().rules) + 1
    assert pack.version != shipped().version
    found = judge(pack, "本行年化利率16%，百分百夏天")
    assert [f.rule.id for f in found.findings] == ["OWN-01", "CN-RATE-06", "CN-PROM-01"]


def test_the_version_changes_with_any_byte(pack_of: Any) -> None:
    first = pack_of(rule_text("patterns = ['甲乙']")).version
    assert pack_of(rule_text("patterns = ['甲乙']")).version == first
    assert pack_of(rule_text("patterns = ['甲乙'] ")).version != first


def test_an_unknown_jurisdiction_is_refused() -> None:
    for name in ("atlantis", "/", "", "*", "cn-rates"):
        with pytest.raises(RulePackError, match="there are cn"):
            load_rules(name)


def test_a_failing_example_is_named(pack_of: Any) -> None:
    failures = try_examples(pack_of(rule_text("patterns = ['一|二|五']")))
    assert [(f.rule.id, f.kind, f.place) for f in failures] == [
        ("ZZ-01", "bad", 3),
        ("ZZ-01", "good", 2),
    ]


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ({"wether": True}, "'wether' is not known"),
        ({"customer": {"name": "x"}}, "'customer.name' is not known"),
        ({"consent": "yes"}, "'consent': expected true or false"),
        ({"at": "2026-11-20T10:00:00"}, "'at': expected a time"),
        ({"at": "soon"}, "'at': expected a time"),
        ({"at": "0001-01-01T00:00+08:00"}, "'at': expected a time"),
        ({"at": "9999-12-31T23:00-10:00"}, "'at': expected a time"),
        ({"recipient": "third party"}, "'recipient': expected one of borrower, guarantor, third_"),
        ({"recipient": ["third_party"]}, "'recipient': expected one of"),
        ({"sent_this_week": True}, "'sent_this_week': expected a whole number"),
        ({"amount_due_cny": "NaN"}, "'amount_due_cny': expected a number"),
        ({"amount_due_cny": "much"}, "'amount_due_cny': expected a number"),
        ({"campaign": {"ends_on": "2026-13-01"}}, "'campaign.ends_on': expected a day"),
        ({"link_domains_allowed": "a.com"}, "'link_domains_allowed': expected a list"),
        ([], "must be an object"),
    ],
)
def test_a_context_that_is_not_understood_is_refused(raw: Any, told: str) -> None:
    with pytest.raises(ContextError, match=told.replace("[", r"\[")):
        read_context(raw)


def test_null_in_a_context_is_not_said() -> None:
    assert read_context({"consent": None}) == {"complete": False}


# Likeness


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return open_embedder("local", threads=1)


@pytest.fixture
def likeness(pack_of: Any, embedder: Embedder, tmp_path: Path) -> Likeness:
    rule = rule_text("patterns = ['包过']").replace(
        'bad = ["一", "二", "三"]',
        'bad = ["闭着眼睛都能给您批下来", "不可能不通过的", "您放心，稳的"]',
    )
    rule = rule.replace(
        'good = ["四", "五", "六"]',
        'good = ["能否通过以审批结果为准", "客服电话是400-000-0000", "请按时还款"]',
    )
    return open_likeness(pack_of(rule), embedder, tmp_path / "kept.npz")


def alike(likeness: Likeness, text: str) -> Review:
    found = judge(likeness.pack, text)
    return review_likeness(likeness, found, text, task="chat", on=TODAY)


def test_a_paraphrase_of_a_bad_example_is_a_warning_and_no_more(likeness: Likeness) -> None:
    text = "您好。闭着眼都能给你批下来！请按时还款。"
    found = alike(likeness, text)
    assert found.verdict == "warn"
    (finding,) = found.findings
    assert finding.text == "闭着眼都能给你批下来"
    assert finding.like == "闭着眼睛都能给您批下来"
    assert text[slice(*finding.span)] == finding.text
    assert alike(likeness, "请您按时还款。能否通过，以审批结果为准。").verdict == "pass"


def test_what_a_pattern_found_is_not_told_twice(likeness: Likeness) -> None:
    found = alike(likeness, "包过，闭着眼睛都能给您批下来")
    assert [(f.text, f.severity) for f in found.findings] == [("包过", "block")]


def test_vectors_are_kept_and_a_broken_file_of_them_is_made_anew(
    likeness: Likeness, embedder: Embedder, tmp_path: Path
) -> None:
    class Never:
        name = embedder.name

        def passages(self, texts: Any) -> Any:
            raise AssertionError(texts)

        query = passages

    again = open_likeness(likeness.pack, Never(), tmp_path / "kept.npz")
    assert (again.vectors == likeness.vectors).all()
    kept = tmp_path / "kept.npz"
    kept.write_bytes(kept.read_bytes()[:-100])
    anew = open_likeness(likeness.pack, embedder, kept)
    assert abs(anew.vectors - likeness.vectors).max() < 1e-5


# Bounds


def sought() -> list[Pattern]:
    return [
        pattern
        for rule in shipped().rules
        for trigger in rule.triggers
        for pattern in (*trigger.patterns, *trigger.only_with, *trigger.requires_any)
    ]


def automaton_spans(pattern: Pattern, text: str) -> list[tuple[int, int]]:
    """Where RE2 finds a pattern."""
    found = re2.finditer(pattern.source, text, options=pattern_options())
    return [match.span() for match in found if match.start() < match.end()]


def test_no_pattern_is_passed_over_that_matches() -> None:
    patterns = sought()
    prefilter = Prefilter(patterns)
    for rule in shipped().rules:
        for example in (rule.bad[0], rule.good[0]):
            text = folding().bare(example.text).text
            met = prefilter.met(text)
            passed_over = [pattern for pattern in patterns if pattern not in met]
            assert not any(pattern.within(text, of=SHORT + 1) for pattern in passed_over)


def test_a_short_text_is_searched_alike_by_trial_and_by_an_automaton() -> None:
    patterns = sought()
    prefilter = Prefilter(patterns)
    for rule in shipped().rules:
        for example in rule.bad[1:2]:
            text = folding().bare(example.text).text
            met = prefilter.met(text)
            for pattern in patterns:
                if pattern in met:
                    assert list(pattern.spans(text)) == automaton_spans(pattern, text)


PIECES = r"([ab]|\(\?:a|\(b|\)[?*+]?|\||\[ab\]|\.|\[\^a\]|\\b|a\{1,2\}|\^|\$|\\\$){1,9}"


@settings(deadline=None)
@with_example("^?0", "")
@given(st.from_regex(PIECES), st.text("ab$\n"))
def test_patterns_mean_the_same_by_trial_and_by_an_automaton(source: str, text: str) -> None:
    try:
        pattern = compile_pattern(source)
    except BadPattern:
        return
    assert list(pattern.spans(text)) == automaton_spans(pattern, text)
    assert pattern.within(text) == bool(re2.search(source, text, options=pattern_options()))


@settings(deadline=None)
@given(st.from_regex(PIECES), st.text("ab"))
def test_literals_said_to_be_needed_are(source: str, text: str) -> None:
    try:
        pattern = compile_pattern(source)
    except BadPattern:
        return
    if pattern.within(text):
        assert any(
            all(any(literal in text for literal in literals) for literals in way)
            for way in needed_literals(source)
        )


@pytest.mark.parametrize(
    ("pattern", "ways"),
    [
        ("百分百.{0,4}(下款|放款)", [[{"百分百"}, {"下款", "放款"}]]),
        ("(包|必)(过|批)", [[{"包过", "包批", "必过", "必批"}]]),
        ("(包|必)?过", [[{"过", "包过", "必过"}]]),
        ("不.{0,6}征信", [[{"征信"}, {"不"}]]),
        ("[0-9]+%", [[{"%"}]]),
        ("[百分]{2}", [[{"百", "分"}]]),
        (r"\p{Han}{2,12}消费金融", [[{"消费金融"}]]),
        (r"最[^，。]*低|(?:APR)", [[{"最"}, {"低"}], [{"apr"}]]),
        (r"(?:包.过|稳)[^\n]{0,3}(?:下款)", [[{"下款"}, {"包"}, {"过"}], [{"下款"}, {"稳"}]]),
        ("a*", [[]]),
        (".", [[]]),
        ("(?i)a", [[]]),
        ("[[:alpha:]]b", [[]]),
    ],
)
def test_the_literals_that_a_pattern_needs(pattern: str, ways: list[list[set[str]]]) -> None:
    assert [list(way) for way in needed_literals(pattern)] == ways


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("百分百", 1),
        ("还|还款|借", 2),
        ("保.{0,4}(下款|下|批)", 5 * 2),
        ("(年.{1,3}利|月)息?", (3 + 1) * 2),
        ("(?:年|年化)利率?", 2 * 2),
        ("[0-9]+元", SHORT),
        ("a?" * 16 + "z", 2**16),
        ("(?:一|)" * 20, 2**20),
        ("(?:a|a)" * 4, 2**4),
        ("(?:给|给您|就)*", SHORT + 1),
        ("(?:给|您|给您)*", ENDLESS),
        ("(?:给|给您|就){0,2}", 3**2),
        (r"\p{Han}贷", 1),
        (r"\p{Lu}贷", ENDLESS),
        ("(?i)a", ENDLESS),
    ],
)
def test_the_choices_of_a_pattern_are_counted(pattern: str, expected: int) -> None:
    assert choices(pattern) == expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("百分百", "百"),
        ("(包|必)(过|批)|[0-3]%", "包必0123"),
        ("(?:年)?(?:化|利率)", "年化利"),
        ("(?:^|[，。])(?:可以|能)", "，。可能"),
        ("(?:[a-c]|x){0,2}y", "abcxy"),
        ("(?:[a-c]|x){1,2}y", "abcx"),
        (r"\?|-[0-9]", "?-"),
        ("(?:^|[^不])可以", ""),
        (r"\p{Han}贷", ""),
        ("[元-圆]", ""),
        (r"[\d]", ""),
        ("(?:还)*", ""),
        ("(?i)a", ""),
    ],
)
def test_the_characters_that_matches_begin_with(pattern: str, expected: str) -> None:
    assert beginnings(pattern) == set(expected)


@settings(deadline=None)
@given(st.from_regex(PIECES), st.text("abB"))
def test_a_match_begins_as_is_said(source: str, text: str) -> None:
    try:
        pattern = compile_pattern(source)
    except BadPattern:
        return
    begin = beginnings(source)
    for start, _ in automaton_spans(pattern, text):
        assert not begin or text[start].lower() in begin


@pytest.mark.parametrize(
    ("source", "step"),
    [
        (r"\p{Han}", 1),
        (r"[\p{Han}a]", 7),
        (r"[^\p{Han}]", 7),
        pytest.param(r"[\p{Han}a]", 1, marks=pytest.mark.bench),
        pytest.param(r"[^\p{Han}]", 1, marks=pytest.mark.bench),
    ],
)
def test_chinese_characters_are_the_same_to_both_engines(source: str, step: int) -> None:
    pattern = compile_pattern(source)
    chars = [chr(code) for code in range(0, 0x110000, step) if not 0xD800 <= code < 0xE000]
    # Where a part of a long text is asked for, the automaton answers.
    differ = [c for c in chars if pattern.within(c) != pattern.within(c, of=SHORT + 1)]
    assert differ == []


def test_a_pattern_of_too_many_choices_is_left_to_the_automaton() -> None:
    for source in ("(a|aa|b?a)+(a|aa)+(a|aa)+c", "a?" * 30 + "z", "(?:a|)" * 30 + "z"):
        pattern = compile_pattern(source)
        started = time.thread_time()
        assert not pattern.within("a" * SHORT)
        assert time.thread_time() - started < 1


@pytest.mark.parametrize("words", ["百分百下款", "百分\n百下款"])
@pytest.mark.parametrize(("times", "cut"), [(2, []), (50, []), (51, ["CN-PROM-01"])])
def test_a_rule_that_is_broken_in_more_places_than_are_told_is_named(
    times: int, cut: list[str], words: str
) -> None:
    text = f"本产品{words}。请先看完合同再作决定。" * times
    told = review_as_json(judge(shipped(), text, task="marketing"))
    places = [found for found in told["findings"] if found["rule"] == "CN-PROM-01"]
    assert len(places) == min(times, 50)
    assert told["cut"] == cut


@pytest.mark.parametrize(
    "text",
    [
        "不会百分百下款的" * 44_000,
        pytest.param("包过" * 175_000, marks=pytest.mark.bench),
        "年化36%" * 75_000,
        "".join(f"年化{i % 20}.{i}%日息0.{i}%" for i in range(30_000)),
        pytest.param("zx" * 500_000, marks=pytest.mark.bench),
        pytest.param("包·" * 170_000, marks=pytest.mark.bench),
        pytest.param("利率低至周转方便" * 6_250, marks=pytest.mark.bench),
        "\n" * 1_000_000,
        "百分\n百下\n款" * 60_000,
    ],
    ids=[
        "negated",
        "matches",
        "figures",
        "prices",
        "latin",
        "signs",
        "sentence",
        "lines",
        "parted",
    ],
)
def test_a_megabyte_is_judged_in_bounded_time(text: str) -> None:
    # Of the processor, since the machine may be busy with other things.
    started = time.thread_time()
    found = judge(shipped(), text, task="marketing")
    assert time.thread_time() - started < 20
    assert len(found.findings) <= 50 * len(shipped().rules)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("包过[^，。]{0,4}", False),
        ("^包过", True),
        ("(?:^|，)包过", True),
        ("包过$", True),
        (r"\bno1", True),
        (r"\[^1]", True),
    ],
)
def test_patterns_that_ask_where_a_text_begins_or_ends_are_known(
    source: str, expected: bool
) -> None:
    assert compile_pattern(source).of_borders is expected


def test_a_long_text_is_judged_as_if_each_part_of_it_were_looked_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pack = load_rules()
    around = "今天的会议改到下午三点，请大家准时到场。" * (SHORT // 20 + 1)

    def judged() -> list[Review]:
        return [
            review(
                pack,
                around + example.text + around,
                task=example.task,
                channel=example.channel,
                context=example.context,
                on=example.on,
            )
            for rule in pack.rules
            for example in (*rule.bad, *rule.good)[::4]
        ]

    at_once = judged()
    monkeypatch.setattr("assistant.matching.Folded.is_long", False)
    assert judged() == at_once
    assert sum(bool(one.findings) for one in at_once) > 200


def test_what_stands_at_the_end_of_a_long_text_is_found() -> None:
    for padding in ("您好。" * 40_000, "您好吗" * 40_000):
        assert hits(judge(shipped(), padding + "百分百下款", task="marketing")) == ["百分百下款"]


# The command


def test_check_prints_a_verdict_and_tells_by_its_code(shell: Shell) -> None:  # noqa: F811
    ran = shell.run("check", "-", "--task", "marketing", "--json", given="百分百下款")
    assert ran.code == 1
    report = ran.json()
    assert report["verdict"] == "block"
    (finding,) = [f for f in report["findings"] if f["rule"] == "CN-PROM-01"]
    assert finding["span"] == [0, 5]
    assert finding["source"]["article"] == "第四条、第二十八条"
    assert report["rules_version"] == shipped().version
    assert shell.run("check", "-", "--task", "chat", "--json", given="您好").code == 0
    assert shell.run("check", "-", "--task", "chat", given="年化利率22%。").code == 0
    shown = shell.run("check", "-", "--task", "marketing", given="百分百下款")
    assert "CN-PROM-01" in shown.out


def test_check_speaks_the_language_of_the_reader(shell: Shell) -> None:  # noqa: F811
    english = rule_text("patterns = ['guaranteed']").replace("suggestion_zh", "suggestion_en")
    own = shell.write(
        "zz-own.toml",
        HEAD
        + english.replace("改写", "Leave it out")
        + rule_text("patterns = ['包过']", id="ZZ-02"),
    )
    checked = ("check", "-", "--task", "marketing", "--pack", "zz")
    for locale, title in (("en", "title"), ("zh-Hans", "标题"), ("zh-Hant", "标题")):
        ran = shell.run(*checked, "--locale", locale, given="Guaranteed", ZHUNXIN_RULES=str(own))
        assert f"ZZ-01 {title} [" in ran.out
        assert "Leave it out" in ran.out
        ran = shell.run(*checked, "--locale", locale, given="包过", ZHUNXIN_RULES=str(own))
        assert f"ZZ-02 {title} [" in ran.out
        assert "改写" in ran.out
    told = shell.refused(2, *checked, "--locale", "fr", given="x", ZHUNXIN_RULES=str(own))
    assert "--locale must be one of" in told


def test_check_takes_many_in_order(shell: Shell) -> None:  # noqa: F811
    rows = [
        {"id": "b", "text": "包过", "task": "marketing"},
        {"id": 1, "text": "您好", "task": "chat", "channel": "chat", "context": {"complete": True}},
        {"id": "c", "text": "秒批", "task": "chat", "context": {"at": "2020-01-01T10:00:00+08:00"}},
    ]
    file = shell.write("in.jsonl", "\n".join(json.dumps(r, ensure_ascii=False) for r in rows))
    ran = shell.run("check", "--jsonl", file)
    assert ran.code == 1
    assert [row["id"] for row in ran.rows()] == ["b", 1, "c"]
    assert [row["verdict"] for row in ran.rows()][:2] == ["block", "pass"]


def test_an_id_that_is_no_text_to_print_comes_back_as_it_was(shell: Shell) -> None:  # noqa: F811
    file = shell.write("in.jsonl", '{"id": "\\ud800", "text": "您好", "task": "chat"}')
    ran = shell.run("check", "--jsonl", file)
    assert ran.code == 0
    assert [row["id"] for row in ran.rows()] == ["\ud800"]


def test_a_wrong_call_of_check_is_refused(shell: Shell) -> None:  # noqa: F811
    bad = shell.write("context.json", '{"consent": "yes"}')
    worse = shell.write("broken.json", "{")
    rows = shell.write("rows.jsonl", '{"id": 1, "text": "x", "task": "poetry"}')
    assert "task: expected one of" in shell.refused(2, "check", "-", given="x")
    assert "channel" in shell.refused(2, "check", "--task", "chat", "--channel", "fax", given="x")
    options = ("check", "-", "--task", "chat")
    assert "'consent'" in shell.refused(2, *options, "--context", bad, given="x")
    assert "not JSON" in shell.refused(2, *options, "--context", worse, given="x")
    nobody = shell.write("nobody.json", '{"recipient": "third party"}')
    assert "expected one of borrower" in shell.refused(2, *options, "--context", nobody, given="x")
    early = shell.write("early.json", '{"at": "0001-01-01T00:00+08:00"}')
    assert "'at': expected" in shell.refused(2, *options, "--context", early, given="x")
    empty = shell.write("list.json", "[]")
    assert "must be an object" in shell.refused(2, *options, "--context", empty, given="x")
    assert "row 1" in shell.refused(2, "check", "--jsonl", rows)
    for key, said in (("chanel", '"sms"'), ("contxt", '{"opted_out": true}')):
        row = f'{{"id": 1, "text": "x", "task": "chat", "{key}": {said}}}'
        told = shell.refused(2, "check", "--jsonl", shell.write("spelt.jsonl", row))
        assert f"row 1: {key}: no such field" in told
    for pack in ("xx", "/"):
        assert "no rule pack" in shell.refused(2, *options, "--pack", pack, given="x")
    assert "no such file" in shell.refused(2, *options, given="x", ZHUNXIN_RULES="nowhere")


def test_a_broken_pack_stops_every_command(shell: Shell) -> None:  # noqa: F811
    broken = shell.write("cn-own.toml", rule_text("patterns = ['(']", id="OWN-01"))
    for command in (["check", "-", "--task", "chat"], ["rules", "test"], ["ask", "利率多少"]):
        told = shell.refused(2, *command, given="x", ZHUNXIN_RULES=str(broken))
        assert "cn-own.toml: rule OWN-01: triggers[1].patterns" in told


def test_a_pack_that_cannot_be_used_stops_the_start(shell: Shell) -> None:  # noqa: F811
    asked = ("ask", "利率多少")
    told = shell.refused(2, *asked, ZHUNXIN_PACK="cn,fr")
    assert "ZHUNXIN_PACK: no rule pack for 'fr'; there are cn, us" in told
    folder = shell.folder / "own"
    folder.mkdir()
    own = {"ZHUNXIN_RULES": str(folder)}
    shell.write("own/hk-own.toml", rule_text("patterns = ['(']", id="HK-01"))
    for command in (asked, ("rules", "test")):
        told = shell.refused(2, *command, **own)
        assert "hk-own.toml: rule HK-01: triggers[1].patterns" in told
    shell.write("own/hk-own.toml", GOOD)
    assert "there are cn, hk, us" in shell.refused(2, *asked, **own, ZHUNXIN_PACK="fr")


def test_check_takes_the_pack_of_the_settings(shell: Shell) -> None:  # noqa: F811
    said, checked = "包过 Guaranteed approval!", ("check", "-", "--task", "marketing", "--json")
    for pack, rules in (("us", {"US"}), ("cn,us", {"CN", "US"})):
        ran = shell.run(*checked, given=said, ZHUNXIN_PACK=pack)
        assert {finding["rule"][:2] for finding in ran.json()["findings"]} == rules
        ran = shell.run(*checked, "--pack", pack, given=said)
        assert {finding["rule"][:2] for finding in ran.json()["findings"]} == rules


def test_rules_are_listed_shown_and_tried(shell: Shell) -> None:  # noqa: F811
    listed = shell.run("rules", "list", "--json").json()
    assert [row["id"] for row in listed] == [rule.id for rule in shipped().rules]
    assert "CN-PROM-01" in shell.run("rules", "list").out
    shown = shell.run("rules", "show", "CN-PROM-01", "--json").json()
    assert len(shown["bad"]) >= 3
    assert "title: 禁止保证审批通过" in shell.run("rules", "show", "CN-PROM-01").out
    assert "no rule" in shell.refused(2, "rules", "show", "CN-NONE-01")
    own = shell.write("cn-own.toml", rule_text("patterns = ['一|二|五']", id="OWN-01"))
    ran = shell.run("rules", "test", ZHUNXIN_RULES=str(own))
    assert ran.code == 1
    assert "cn-own.toml: rule OWN-01: bad[3] does not fire: 三" in ran.out
    assert "cn-own.toml: rule OWN-01: good[2] fires on 五: 五" in ran.out
    report = shell.run("rules", "test", "--json", ZHUNXIN_RULES=str(own)).json()
    assert [failure["example"] for failure in report["failures"]] == ["bad[3]", "good[2]"]
    assert report["files"][0] == "cn-ai.toml"
    assert "own/cn-own.toml" in report["files"]
    assert report["not_read"] == []


def test_a_rule_is_shown_with_its_days_and_what_its_examples_say(shell: Shell) -> None:  # noqa: F811
    dated = rule_text("patterns = ['一']", fields="effective_from = 2026-10-01").replace(
        'good = ["四"',
        'good = [{ text = "一", task = "marketing", channel = "sms", on = 2026-09-30, '
        'context = { at = "2026-09-30T20:00:00+08:00", complete = true } }',
    )
    own = str(shell.write("zz-own.toml", HEAD + dated))
    options = ("--pack", "zz")
    listed = shell.run("rules", "list", *options, ZHUNXIN_RULES=own).out
    assert "[chat marketing]  from 2026-10-01  " in listed
    shown = shell.run("rules", "show", "ZZ-01", *options, ZHUNXIN_RULES=own).out.splitlines()
    assert "bad: 一  [chat]" in shown
    assert (
        'good: 一  [marketing sms 2026-09-30 {"complete": true, "at": "2026-09-30T20:00:00+08:00"}]'
    ) in shown
    told = shell.run("rules", "show", "ZZ-01", *options, "--json", ZHUNXIN_RULES=own).json()
    assert told["good"][0] == told["examples"][3]["text"] == "一"


def test_rules_that_were_not_read_are_named(shell: Shell) -> None:  # noqa: F811
    folder = shell.folder / "own"
    (folder / "more").mkdir(parents=True)
    shell.write("own/my-rules.toml", GOOD)
    shell.write("own/us-own.toml.txt", GOOD)
    shell.write("own/more/us-more.toml", GOOD)
    shell.write("own/us-later.toml", "# [[rules]]\n")
    shell.write("own/us-mine.toml", "[fragments]\nlender = 'x'\n")
    ran = shell.run("rules", "test", "--pack", "us", ZHUNXIN_RULES=str(folder))
    ending = "only files of this folder whose names end in .toml are read"
    assert ran.err.splitlines() == [
        f"not read: more: {ending}",
        "not read: my-rules.toml: its rules are not of the pack us",
        "not read: us-later.toml: there is nothing in it but remarks",
        f"not read: us-own.toml.txt: {ending}",
    ]
    assert "us-credit.toml" in ran.out


# HTTP


@pytest.fixture(scope="module")
def staff(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with (
        serving(tmp_path_factory.mktemp("compliance")) as server,
        server.client("marketer") as client,
    ):
        yield client


def test_staff_check_a_text(staff: httpx.Client) -> None:
    sent = {"text": "百分百下款", "task": "marketing", "channel": "sms"}
    answer = staff.post("/v1/check", json=sent)
    assert answer.status_code == 200
    assert answer.json()["verdict"] == "block"
    earlier = {"text": "x", "task": "chat", "on": "2020-01-01", "context": {"complete": True}}
    assert staff.post("/v1/check", json=earlier).json()["verdict"] == "pass"


def test_staff_check_a_text_by_the_rules_of_another_country(staff: httpx.Client) -> None:
    sent = {"text": "Guaranteed approval!", "task": "marketing", "pack": "us"}
    finding = staff.post("/v1/check", json=sent).json()["findings"][0]
    assert finding["rule"] == "US-UDAAP-01"
    assert finding["suggestion_en"].startswith("Say that approval")
    prescreened = sent | {"text": "Hello", "channel": "sms", "context": {"prescreened": True}}
    assert staff.post("/v1/check", json=prescreened).json()["verdict"] == "block"
    assert staff.post("/v1/check", json=sent | {"pack": "fr"}).status_code == 422
    assert staff.post("/v1/check", json=sent | {"semantic": True}).status_code == 422


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"text": "x", "task": "poetry"}, 422),
        ({"text": "x", "task": "chat", "channel": "fax"}, 422),
        ({"text": "x", "task": "chat", "context": {"wether": 1}}, 422),
        ({"text": "x", "task": "collections", "context": {"recipient": "third party"}}, 422),
        ({"text": "x", "task": "chat", "context": {"at": "0001-01-01T00:00+08:00"}}, 422),
        (
            {
                "text": "x",
                "task": "chat",
                "on": "2026-01-01",
                "context": {"at": "0001-01-01T00:00+14:00"},
            },
            422,
        ),
        ({"text": "x", "task": "chat", "more": 1}, 422),
        ({"text": "x", "task": "chat", "on": "soon"}, 422),
        ({"text": "包" * 300_000, "task": "chat"}, 413),
    ],
)
def test_a_wrong_check_is_a_problem(staff: httpx.Client, sent: Any, status: int) -> None:
    assert staff.post("/v1/check", json=sent).status_code == status


def test_the_api_tells_whom_a_message_may_go_to(staff: httpx.Client) -> None:
    described = staff.get("/openapi.json").json()["components"]["schemas"]["CheckRequest"]
    told = described["properties"]["context"]["properties"]["recipient"]["enum"]
    assert told == ["borrower", "guarantor", "third_party", None]


def test_half_of_a_surrogate_pair_is_answered(staff: httpx.Client) -> None:
    sent = b'{"text": "\\ud800\xe5\x8c\x85\\udc00\xe8\xbf\x87", "task": "marketing"}'
    answer = staff.post("/v1/check", content=sent, headers={"Content-Type": "application/json"})
    assert answer.status_code == 200


def test_staff_read_the_rules(staff: httpx.Client) -> None:
    listed = staff.get("/v1/rules").json()
    assert [row["id"] for row in listed["rules"]] == [rule.id for rule in shipped().rules]
    shown = staff.get("/v1/rules/CN-PROM-01").json()
    assert shown["sources"][0]["evidence"] == "text"
    assert staff.get("/v1/rules/CN-NONE-01").status_code == 404


def test_staff_read_the_rules_of_another_pack(staff: httpx.Client) -> None:
    own = staff.get("/v1/rules").json()
    assert (own["pack"], own["packs"]) == ("cn", ["cn", "us"])
    assert own["context"]["recipient"] == ["borrower", "guarantor", "third_party"]
    other = staff.get("/v1/rules", params={"pack": "us"}).json()
    assert (other["pack"], other["context"]["prescreened"]) == ("us", "bool")
    assert {rule["id"].partition("-")[0] for rule in other["rules"]} == {"US"}
    assert staff.get("/v1/rules", params={"pack": "fr"}).status_code == 422
    with_context = [e for e in staff.get("/v1/rules/CN-CONT-02").json()["examples"] if e["context"]]
    assert with_context[0]["context"]["complete"] is True


def test_a_server_judges_by_the_packs_that_its_settings_join(tmp_path: Path) -> None:
    more = {"ZHUNXIN_PACK": "cn,hk", "ZHUNXIN_RULES": str(hk_folder(tmp_path / "rules"))}
    with serving(tmp_path / "home", **more) as server, server.client("marketer") as client:
        sent = {"text": "包过", "task": "marketing"}
        rules = {
            finding["rule"] for finding in client.post("/v1/check", json=sent).json()["findings"]
        }
        assert {"CN-PROM-01", "HK-01"} <= rules
        found = client.post("/v1/check", json=sent | {"pack": "hk"}).json()["findings"]
        assert {finding["rule"] for finding in found} == {"HK-01"}
        known = client.get("/v1/rules").json()
        assert (known["pack"], known["packs"]) == ("cn,hk", ["cn", "hk", "us"])


def test_campaigns_of_a_pack_that_does_not_say_whom_to_address_are_told_so(tmp_path: Path) -> None:
    folder = hk_folder(tmp_path / "rules")
    more = {"ZHUNXIN_PACK": "hk", "ZHUNXIN_RULES": str(folder)}
    bounds = "credit_line_max_cny = 200000\nprize_draw_max_cny = 50000\n"
    (folder / "settings.toml").write_text(HK_SETTINGS + bounds, encoding="utf-8")
    with serving(tmp_path / "home", **more) as server, server.client("marketer") as client:
        answer = client.get("/v1/campaigns")
        assert answer.status_code == 503
        assert any("marketing_must_know" in line for line in answer.json()["problems"])


def test_a_borrower_cannot_check(staff: httpx.Client) -> None:
    with httpx.Client(base_url=staff.base_url, trust_env=False) as anybody:
        assert anybody.post("/v1/check", json={"text": "x", "task": "chat"}).status_code == 401
        assert anybody.get("/v1/rules").status_code == 401


def test_what_stands_behind_thousands_of_figures_is_measured() -> None:
    text = "第1期还100元。" * 1100 + "本产品年化利率36%。"
    found = judge(shipped(), text, task="marketing")
    assert "CN-RATE-06" in {f.rule.id for f in found.findings}
    assert judge(shipped(), "第1期还100元。" * 1100, task="marketing").verdict == "pass"


def test_of_many_findings_the_worst_are_told() -> None:
    mild = "年化利率22%。" * 100
    assert judge(shipped(), mild, task="marketing").verdict == "warn"
    assert judge(shipped(), mild + "年化利率36%。", task="marketing").verdict == "block"
