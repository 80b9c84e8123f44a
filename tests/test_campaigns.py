"""Campaigns as data: what is read, what is refused and where, what documents bear out, wording."""

from __future__ import annotations

import copy
import pickle
import random
import re
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from assistant.campaigns import (
    SHIPPED,
    Campaign,
    CampaignError,
    calendar,
    coupon_words,
    figures,
    load_campaigns,
    odds_words,
    read_campaign,
    running,
    unproven,
)
from assistant.compliance import review
from assistant.models import LOCALES, Locale
from assistant.rules import load_rules
from assistant.segments import attributes
from assistant.templates import check_value, figure_in
from knowledge.chunk import chunk
from knowledge.documents import Clause
from knowledge.readers import read, read_manifest
from knowledge.terms import load_terms

TODAY = date(2026, 11, 26)
CORPUS = SHIPPED.parent / "corpus" / "lender"
SPRING = (SHIPPED / "spring-2027.toml").read_text(encoding="utf-8")


def spring_table() -> dict[str, Any]:
    return tomllib.loads(SPRING, parse_float=Decimal)


def change(table: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The table with the value at a path such as `coupons.0.stock` set, or taken away (None)."""
    *way, last = path.split(".")
    place: Any = table
    for key in way:
        place = place[int(key)] if isinstance(place, list) else place[key]
    at: Any = int(last) if isinstance(place, list) else last
    if value is None:
        del place[at]
    else:
        place[at] = value
    return table


@pytest.fixture(scope="module")
def campaigns() -> Mapping[str, Campaign]:
    return load_campaigns()


@pytest.fixture(scope="module")
def clauses() -> list[Clause]:
    """Of the documents that say what coupons do, read as they are ingested."""
    heads = read_manifest(CORPUS)
    names = ["coupon-rules.docx", *(file.name for file in CORPUS.glob("*-terms-*.md"))]
    return [
        clause for name in names for clause in chunk(read(CORPUS / name, name, heads.get(name)))
    ]


# What is shipped ---------------------------------------------------------------------------------


def test_one_campaign_runs_today_one_has_ended_and_one_has_not_begun(
    campaigns: Mapping[str, Campaign],
) -> None:
    states = {name: campaign.state(TODAY) for name, campaign in campaigns.items()}
    assert states == {
        "autumn-2026": "ended",
        "spring-2027": "running",
        "lantern-2027": "not_started",
    }
    assert campaigns["spring-2027"].ends_on == date(2027, 1, 31)


def test_the_spring_campaign_has_every_kind_of_coupon_and_a_lucky_bag(
    campaigns: Mapping[str, Campaign],
) -> None:
    spring = campaigns["spring-2027"]
    kinds = {(coupon.kind, coupon.product) for coupon in spring.coupons}
    assert kinds == {("rate", "anxin"), ("interest_free", "suixin"), ("voucher", "anxin")}
    [draw] = spring.draws
    assert [(p.coupon, p.odds) for p in draw.prizes] == [
        ("bag-rate-70", Decimal("0.01")),
        ("bag-voucher-8", Decimal("0.1")),
    ]
    assert spring.product == ""
    assert spring.products == ("anxin", "suixin")
    assert campaigns["lantern-2027"].product == "suixin"


def test_campaigns_go_to_other_processes_as_they_are(campaigns: Mapping[str, Campaign]) -> None:
    assert pickle.loads(pickle.dumps(campaigns)) == campaigns


@pytest.mark.parametrize("name", [file.stem for file in sorted(SHIPPED.glob("*.toml"))])
def test_documents_in_force_bear_out_every_shipped_coupon(
    name: str, campaigns: Mapping[str, Campaign], clauses: list[Clause]
) -> None:
    for day in (campaigns[name].starts_on, campaigns[name].ends_on):
        assert unproven(campaigns[name], load_terms(), clauses, day) == ()


def test_a_coupon_is_not_borne_out_by_other_words_or_on_another_day(
    campaigns: Mapping[str, Campaign], clauses: list[Clause]
) -> None:
    autumn, terms = campaigns["autumn-2026"], load_terms()
    rate = replace(autumn.coupons[0], quote=autumn.coupons[0].quote.replace("3.6%", "3.5%"))
    changed = replace(autumn, coupons=(rate, *autumn.coupons[1:]))
    [missing] = unproven(changed, terms, clauses, TODAY)
    assert (missing.coupon, missing.field) == ("anxin-rate-85", "quote")

    # Contracts of 2025 took no rate coupon, and the rules of coupons were not in force.
    in_2025 = {
        (row.coupon, row.field) for row in unproven(autumn, terms, clauses, date(2025, 6, 1))
    }
    assert in_2025 == {
        ("anxin-rate-85", "quote"),
        ("anxin-rate-85", "kind"),
        ("suixin-free-15", "quote"),
        ("suixin-voucher-10", "quote"),
    }

    held = [replace(c, held=True) if "3.6%" in c.text else c for c in clauses]
    assert {row.coupon for row in unproven(autumn, terms, held, TODAY)} == {"anxin-rate-85"}
    assert len(unproven(autumn, terms, [], TODAY)) == 6
    assert {row.field for row in unproven(autumn, None, clauses, TODAY)} == {"kind"}


# What is refused ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bad:
    path: str
    value: Any
    says: str
    """Row and field, and the beginning of what is expected."""


BAD = [
    Bad("id", "Spring 2027", "id: expected small letters"),
    Bad("colour", "red", "colour: unknown; there are id, title"),
    Bad("starts_on", "2026-11-16", "starts_on: expected a day such as"),
    Bad("ends_on", datetime(2027, 1, 31, tzinfo=UTC), "ends_on: expected a day such as"),
    Bad("ends_on", date(2026, 11, 15), "ends_on: 2026-11-15 is before starts_on"),
    Bad("budget_cny", None, "budget_cny: missing"),
    Bad("budget_cny", "many", "budget_cny: "),
    Bad("budget_cny", 4785939, "budget_cny: the stock comes to 4785940.00 yuan, above 4785939"),
    Bad("title.en", " ", "title: en: expected a text"),
    Bad("title.fr", "Printemps", "title: fr: unknown"),
    Bad("idea", "less interest", "idea: expected a table of zh-Hans"),
    Bad("channels", [], "channels: expected a list of sms"),
    Bad("channels", ["sms", "chat"], "channels: expected some of sms"),
    Bad("channels", ["sms", "sms"], "channels: 'sms' is there twice"),
    Bad("stacking", "all", "stacking: expected one of one"),
    Bad("holdout", 1, "holdout: expected a share from 0 to below 1"),
    Bad("holdout", Decimal("NaN"), "holdout: expected a share"),
    Bad("terms_link", "http://www.qingsui.example", "terms_link: expected an address"),
    Bad("terms_link", "https://evil.example/{name}", "terms_link: expected an address"),
    Bad("loans.0.product", "cheap", "loans 1 (cheap): product: expected one of anxin, suixin"),
    Bad("loans.1.product", "anxin", "loans 2 (anxin): product: 'anxin' is there twice"),
    Bad("loans.0.annual_rate", "24%", "loans 1 (anxin): annual_rate: expected 7.2% to 19.8%"),
    Bad("loans.0.method", None, "loans 1 (anxin): method: missing"),
    Bad("loans.0.terms", 0, "loans 1 (anxin): terms: "),
    Bad("loans.1.terms", 6, "loans 2 (suixin): terms: expected 12, as the first loan has"),
    Bad("loans.0.fee", 1, "loans 1 (anxin): fee: unknown"),
    Bad("eligibility.0.op", "about", "eligibility 1 (age): op: expected one of is"),
    Bad("eligibility.0.value", 16, "eligibility 1 (age): value: age may not be used like this"),
    Bad("eligibility.2.attribute", "sex", "eligibility 3 (sex): attribute: sex may not be used"),
    Bad("coupons", {"id": "one"}, "coupons: expected [[coupons]]"),
    Bad("coupons.1.id", "anxin-rate-90", "coupons 2 (anxin-rate-90): id: 'anxin-rate-90' is there"),
    Bad("coupons.0.kind", "cash", "coupons 1 (anxin-rate-90): kind: expected one of rate"),
    Bad("coupons.0.free_days", 3, "coupons 1 (anxin-rate-90): free_days: unknown"),
    Bad("coupons.0.discount", 1, "coupons 1 (anxin-rate-90): discount: expected above 0"),
    Bad("coupons.0.discount", None, "coupons 1 (anxin-rate-90): discount: missing"),
    Bad("coupons.0.product", "suixin", "coupons 1 (anxin-rate-90): kind: no contract of 'suixin'"),
    Bad("coupons.0.stock", 0, "coupons 1 (anxin-rate-90): stock: expected a whole number from 1"),
    Bad("coupons.0.stock", True, "coupons 1 (anxin-rate-90): stock: expected a whole number"),
    Bad("coupons.0.valid_from", date(2026, 11, 15), "coupons 1 (anxin-rate-90): valid_from: 2026"),
    Bad(
        "coupons.0.valid_to", date(2026, 11, 15), "coupons 1 (anxin-rate-90): valid_to: 2026-11-15"
    ),
    Bad("coupons.0.quote", "", "coupons 1 (anxin-rate-90): quote: expected a text"),
    Bad("coupons.1.free_days", 0, "coupons 2 (suixin-free-30): free_days: "),
    Bad("coupons.2.amount_cny", "30.001", "coupons 3 (anxin-voucher-30): amount_cny: "),
    Bad("coupons.0.title.en", "20% off", "coupons 1 (anxin-rate-90): title.en: at 0: figure '20%'"),
    Bad(
        "coupons.0.title.en", "{amount}", "coupons 1 (anxin-rate-90): title.en: at 0: unknown slot"
    ),
    Bad("prize_coupons.0.id", "anxin-rate-90", "prize_coupons 1 (anxin-rate-90): id: "),
    Bad("prize_coupons.0.stock", None, "prize_coupons 1 (bag-rate-70): stock: missing"),
    Bad("prize_coupons.0.stock", 499, "prize_coupons 1 (bag-rate-70): stock: draws give 500"),
    Bad("draws", [], "prize_coupons 1 (bag-rate-70): id: no draw gives 'bag-rate-70'"),
    Bad("draws.0.prizes", [], "draws 1 (lucky-bag): prizes: expected at least one"),
    Bad("draws.0.prizes.0.coupon", "anxin-rate-90", "draws 1 (lucky-bag): prizes 1 (anxin-rate"),
    Bad("draws.0.prizes.0.odds", 0, "draws 1 (lucky-bag): prizes 1 (bag-rate-70): odds: expected"),
    Bad("draws.0.prizes.0.odds", "1%", "draws 1 (lucky-bag): prizes 1 (bag-rate-70): odds: "),
    Bad("draws.0.prizes.0.odds", Decimal("0.0000001"), "draws 1 (lucky-bag): prizes 1 (bag-rate"),
    Bad("draws.0.prizes.0.odds", Decimal("0.91"), "draws 1 (lucky-bag): prizes: the odds come to"),
    Bad("draws.0.prizes.1.coupon", "bag-rate-70", "draws 1 (lucky-bag): prizes 2 (bag-rate-70): "),
    Bad("segments.0.id", "plain", "segments 1 (plain): id: 'plain' is the segment without"),
    Bad("segments.1.id", "renewing", "segments 2 (renewing): id: 'renewing' is there twice"),
    Bad("segments.0.conditions", [], "segments 1 (renewing): conditions: expected at least one"),
    Bad(
        "segments.0.conditions.0.attribute", "shoe_size", "segments 1 (renewing): conditions 1 (sho"
    ),
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: f"{bad.path}={bad.value}"[:40])
def test_what_is_wrong_is_said_with_its_row_and_field(bad: Bad) -> None:
    with pytest.raises(CampaignError) as caught:
        read_campaign(change(spring_table(), bad.path, bad.value))
    assert str(caught.value).startswith(bad.says)


def test_a_draw_alone_is_a_campaign_and_nothing_is_none() -> None:
    table = change(spring_table(), "coupons", [])
    assert read_campaign(table).coupons == ()
    change(table, "prize_coupons", [])
    with pytest.raises(CampaignError, match="coupons: expected at least one, or a draw"):
        read_campaign(change(table, "draws", []))


def test_every_wrong_file_is_named_and_nothing_is_loaded_in_part(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(SPRING, encoding="utf-8")
    (tmp_path / "b.toml").write_text(SPRING, encoding="utf-8")
    (tmp_path / "c.toml").write_text("id = ", encoding="utf-8")
    (tmp_path / "d.toml").write_bytes("id = '春'".encode("gb18030"))
    (tmp_path / "e.toml").write_text(SPRING.replace("stock = 500\n", "stock = -1\n"), "utf-8")
    with pytest.raises(CampaignError) as caught:
        load_campaigns(tmp_path)
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines] == ["b.toml", "c.toml", "d.toml", "e.toml"]
    assert lines[0] == "b.toml: id: 'spring-2027' is another campaign's too"
    assert lines[3].startswith("e.toml: prize_coupons 1 (bag-rate-70): stock: expected")
    assert load_campaigns(tmp_path / "nowhere") == {}


def test_a_prize_is_held_to_the_highest_that_the_rules_allow() -> None:
    def settings(most: int) -> dict[str, Any]:
        return {"prize_draw_max_cny": Decimal(most), "credit_line_max_cny": Decimal(200000)}

    # 70 % of 14.4 % over a twelve months' loan of 200,000 yuan saves 4,853 yuan and some.
    read_campaign(spring_table(), settings=settings(5000))
    with pytest.raises(CampaignError, match=r"prizes 1 \(bag-rate-70\): coupon: worth up to 485"):
        read_campaign(spring_table(), settings=settings(4000))
    with pytest.raises(CampaignError, match="no setting credit_line_max_cny to hold them to"):
        read_campaign(spring_table(), settings={"prize_draw_max_cny": Decimal(50000)})


def test_nothing_that_a_file_can_say_ends_in_another_error() -> None:
    junk: list[Any] = [
        *(None, "", "x", "{x}", "9" * 400, 0, -1, 1, 2**70, True, [], {}, [{}], [1], {"id": "x"}),
        *(Decimal("NaN"), Decimal("Infinity"), Decimal("-1"), Decimal("1E+900"), Decimal("1E-900")),
        *(date(1, 1, 1), date(9999, 12, 31), datetime(2027, 1, 1, tzinfo=UTC), float("nan")),
    ]

    def places(value: Any, path: str = "") -> list[str]:
        rows = value.items() if isinstance(value, dict) else enumerate(value)
        nested = isinstance(value, dict | list)
        found = [f"{path}.{key}".lstrip(".") for key, _ in rows] if nested else []
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(item, dict | list):
                found += places(item, f"{path}.{key}".lstrip("."))
        return found

    draw = random.Random(7)
    table = spring_table()
    paths = places(table)
    loaded = 0
    for _ in range(150):
        changed = copy.deepcopy(table)
        change(changed, draw.choice(paths), draw.choice(junk))
        with suppress(CampaignError):
            read_campaign(changed)
            loaded += 1
    assert 0 < loaded < 75


# Versions ----------------------------------------------------------------------------------------


def test_a_version_changes_with_what_is_said_and_not_with_how(tmp_path: Path) -> None:
    def version(text: str) -> str:
        (tmp_path / "one.toml").write_text(text, encoding="utf-8")
        return load_campaigns(tmp_path)["spring-2027"].version

    before = version(SPRING)
    assert before == version(SPRING)
    assert len(before) == 64
    assert before == version(f"# another comment\n\n{SPRING}")
    assert before == version(SPRING.replace("discount = 0.9\n", "discount = 0.90\n"))
    last = SPRING.index('terms_link = "')
    line, rest = SPRING[last:].split("\n", 1)
    assert before == version(f"{line}\n{SPRING[:last]}{rest}")
    changed = {
        version(SPRING.replace("discount = 0.9\n", "discount = 0.91\n")),
        version(SPRING.replace("stock = 20000", "stock = 19999", 1)),
        version(SPRING.replace("迎春有礼", "迎春好礼")),
        version(SPRING.replace("valid_to = 2027-01-31", "valid_to = 2027-01-30", 1)),
        version(SPRING.replace("odds = 0.01\n", "odds = 0.02\n")),
    }
    assert len(changed | {before}) == 6


# Calendar ----------------------------------------------------------------------------------------


def test_a_calendar_has_each_day_with_what_runs_on_it(campaigns: Mapping[str, Campaign]) -> None:
    days = calendar(campaigns.values(), date(2026, 10, 30), date(2026, 11, 17))
    assert len(days) == 19
    assert days[date(2026, 10, 31)] == ("autumn-2026",)
    assert days[date(2026, 11, 1)] == ()
    assert days[date(2026, 11, 16)] == ("spring-2027",)
    assert calendar(campaigns.values(), TODAY, date(2026, 11, 25)) == {}


def test_of_those_that_run_what_ends_first_is_first(campaigns: Mapping[str, Campaign]) -> None:
    spring = campaigns["spring-2027"]
    sooner = replace(spring, id="sooner", ends_on=date(2026, 12, 1))
    assert [c.id for c in running([spring, sooner], TODAY)] == ["sooner", "spring-2027"]


# Wording -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("locale", LOCALES)
def test_what_is_said_of_a_campaign_fits_the_slots_of_copy(
    locale: Locale, campaigns: Mapping[str, Campaign]
) -> None:
    for campaign in campaigns.values():
        for coupon in (*campaign.coupons, *campaign.prize_coupons):
            check_value("coupon", coupon.title[locale])
            for slot, value in figures(coupon, locale).items():
                check_value(slot, value)
            assert coupon_words(coupon, locale).startswith(coupon.title[locale])
            assert "{" not in coupon_words(coupon, locale)
        for draw in campaign.draws:
            check_value("prizes", odds_words(campaign, draw, locale))
        assert figure_in(campaign.title[locale]) is None


def test_figures_are_said_as_people_read_them(campaigns: Mapping[str, Campaign]) -> None:
    rate, free, voucher = campaigns["spring-2027"].coupons
    dates = {"valid_from": "2026年11月16日", "valid_to": "2027年1月31日"}
    assert figures(rate, "zh-Hans") == {**dates, "discount": "9折"}
    assert figures(free, "zh-Hans") == {**dates, "free_days": "30天", "cap": "10,000元"}
    assert figures(voucher, "zh-Hans") == {**dates, "amount": "30元", "threshold": "500元"}
    odd = replace(rate, discount=Decimal("0.875"), floor_annual_rate=None)
    assert figures(odd, "zh-Hant")["discount"] == "8.75折"
    assert figures(odd, "en")["discount"] == "12.5% off"
    assert (
        figures(replace(voucher, amount_cny=Decimal("1288.50")), "en")["amount"] == "CNY 1,288.50"
    )
    assert "3.6%" not in coupon_words(odd, "en")
    assert figures(free, "en")["valid_to"] == "31 January 2027"
    assert figures(replace(free, free_days=1), "en")["free_days"] == "1 day"
    assert figures(replace(free, free_days=1), "zh-Hans")["free_days"] == "1天"


def test_what_is_said_breaks_no_rule_but_for_what_a_message_adds(
    campaigns: Mapping[str, Campaign],
) -> None:
    """The annual rate and the conditions of what is free of interest are put in by the message."""
    pack = load_rules()
    for campaign in campaigns.values():
        texts = [coupon_words(c, "zh-Hans") for c in (*campaign.coupons, *campaign.prize_coupons)]
        texts += [odds_words(campaign, draw, "zh-Hans") for draw in campaign.draws]
        for text in (*texts, campaign.title["zh-Hans"], campaign.idea["zh-Hans"]):
            found = review(pack, text, task="marketing", channel="sms", context={}, on=TODAY)
            assert {f.rule.id for f in found.findings} <= {"CN-RATE-01", "CN-RATE-03"}, text


# The document ------------------------------------------------------------------------------------

DOCUMENT = (Path(__file__).parent.parent / "docs" / "campaigns.md").read_text(encoding="utf-8")


def test_the_example_of_the_document_is_a_campaign(clauses: list[Clause]) -> None:
    example = DOCUMENT.split("```toml\n")[1].split("```")[0]
    campaign = read_campaign(tomllib.loads(example, parse_float=Decimal))
    assert unproven(campaign, load_terms(), clauses, TODAY) == ()
    assert odds_words(campaign, campaign.draws[0], "en").endswith("(100): 5%; nothing: 95%")


def test_the_document_has_every_attribute_with_its_conditions() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (`is`.*?|`in`.*?|`at_.*?) \|", DOCUMENT, re.M)
    assert {name: (kind, tuple(re.findall(r"\w+", ops))) for name, kind, ops in rows} == {
        name: (attribute.kind, attribute.ops) for name, attribute in attributes().items()
    }


def test_the_document_shows_what_a_wrong_row_says() -> None:
    shown = DOCUMENT.split("```text\n")[1].split("\n")[0]
    with pytest.raises(CampaignError) as caught:
        read_campaign(change(spring_table(), "coupons.0.valid_to", date(2027, 2, 1)))
    assert shown == f"spring-2027.toml: {caught.value}"
