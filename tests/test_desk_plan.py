"""When somebody is at the desk, by when a ticket is answered, and what desk.toml may say."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from assistant.config import load_settings
from assistant.desk_plan import SAMPLE, DeskPlan, DeskPlanError, file_of, load_desk
from assistant.triage import load_triage

SHANGHAI = ZoneInfo("Asia/Shanghai")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=SHANGHAI)


def plan_with(folder: Path, hours: str) -> DeskPlan:
    """The sample's plan with other hours."""
    text = SAMPLE.read_text("utf-8")
    start, end = text.index("[hours]"), text.index("[queue]")
    file = folder / "desk.toml"
    file.write_text(f"{text[:start]}[hours]\n{hours}\n\n{text[end:]}", "utf-8")
    plan = load_desk(file)
    assert plan is not None
    return plan


SPLIT = 'workday = ["09:00-12:00", "13:00-18:00"]\nday_off = ["10:00-16:00"]'


@pytest.mark.parametrize(
    ("instant", "is_open"),
    [
        ("2026-11-26T08:59", False),
        ("2026-11-26T09:00", True),
        ("2026-11-26T12:00", False),
        ("2026-11-26T17:59", True),
        ("2026-11-28T09:30", False),  # Saturday
        ("2026-11-28T10:00", True),
        ("2026-10-10T17:00", True),  # a Saturday that is worked
        ("2026-10-01T09:30", False),  # a Thursday in a holiday
        ("2031-11-26T09:30", False),  # its holidays are not known: both kinds of day
        ("2031-11-26T10:30", True),
        ("2031-11-26T12:30", False),
    ],
)
def test_the_desk_is_open_at_the_hours_of_that_kind_of_day(
    tmp_path: Path, instant: str, is_open: bool
) -> None:
    assert plan_with(tmp_path, SPLIT).hours.is_open(at(instant)) is is_open


@pytest.mark.parametrize(
    ("left", "answered"),
    [
        ("2026-11-26T22:00", "2026-11-27T12:00"),  # as the sample's document promises: noon
        ("2026-11-26T03:00", "2026-11-26T12:00"),
        ("2026-11-26T20:00", "2026-11-27T11:00"),  # an hour today, two tomorrow
        ("2026-11-26T10:00", "2026-11-26T13:00"),
    ],
)
def test_a_ticket_is_promised_within_hours_in_which_somebody_is_there(
    left: str, answered: str
) -> None:
    plan = load_desk()
    assert plan is not None
    assert plan.promise_at(at(left)) == at(answered)


def test_a_promise_leaps_over_a_holiday(tmp_path: Path) -> None:
    plan = plan_with(tmp_path, 'workday = ["09:00-18:00"]\nday_off = []')
    assert plan.promise_at(at("2026-09-30T17:00")) == at("2026-10-08T11:00")
    assert plan.promise_at(at("2026-11-27T18:30")) == at("2026-11-30T12:00")


def test_a_single_day_may_go_another_way(tmp_path: Path) -> None:
    rows = 'workday = ["09:00-21:00"]\nday_off = []\n[hours.days]\n"2026-12-31" = ["09:00-12:00"]'
    plan = plan_with(tmp_path, rows)
    assert plan.hours.is_open(at("2026-12-31T11:00"))
    assert not plan.hours.is_open(at("2026-12-31T13:00"))


def test_nothing_is_promised_where_nobody_is_ever_there(tmp_path: Path) -> None:
    assert plan_with(tmp_path, "workday = []\nday_off = []").promise_at(at("2026-11-26T10:00")) is (
        None
    )


def test_every_class_of_triage_has_a_reason_and_the_worst_is_first() -> None:
    plan = load_desk()
    assert plan is not None
    seen = {each.id for each in load_triage().classes if each.status == "handoff"}
    assert seen == set(plan.reasons)
    assert list(plan.reasons)[:3] == ["crisis", "fraud", "complaint"]
    assert plan.first(["hardship", "complaint"]).id == "complaint"
    assert plan.first([]).id == plan.first(["no such class"]).id == "human"
    assert plan.queued(["abuse", "hardship"]) == ["hardship"]


def test_only_who_may_be_kept_waiting_by_the_same_people_is_counted(tmp_path: Path) -> None:
    text = SAMPLE.read_text("utf-8")
    own = text.replace(
        '[skills.complaints]\nroles = ["agent", "supervisor"]',
        '[skills.complaints]\nroles = ["compliance"]',
    )
    assert own != text
    file = tmp_path / "desk.toml"
    file.write_text(own, "utf-8")
    plan = load_desk(file)
    assert plan is not None
    assert plan.compete("general", "care")
    assert not plan.compete("general", "complaints")
    assert plan.compete("general", "a skill of last year")


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ('"09:00-21:00"', '"21:00-09:00"', "later on the same day"),
        ('"09:00-21:00"', '"9-21"', "expected times"),
        ('["09:00-21:00"]', '["09:00-21:00", "10:00-11:00"]', "overlap"),
        ('skill = "safety"', 'skill = "juggling"', "juggling"),
        ('class = "human"', 'class = "persons"', "human"),
        ("promise_minutes = 180", "promise_minutes = 0", "promise_minutes"),
        ("most_waiting = 200", "", "most_waiting"),
        ('en = "Complaint"', "", "en"),
        ("[hours]", "[hours", "cannot be read"),
        ('roles = ["agent", "supervisor"]', "roles = []", "nobody has it"),
    ],
)
def test_a_plan_that_cannot_be_used_is_told_with_what_is_wrong(
    tmp_path: Path, before: str, after: str, told: str
) -> None:
    file = tmp_path / "desk.toml"
    file.write_text(SAMPLE.read_text("utf-8").replace(before, after, 1), "utf-8")
    with pytest.raises(DeskPlanError, match=told):
        load_desk(file)


def test_another_lender_without_a_plan_has_no_desk(tmp_path: Path) -> None:
    environ = {"ZHUNXIN_LENDER": str(tmp_path / "lender.toml")}
    settings = load_settings(environ, tmp_path / "none.toml")
    assert load_desk(file_of(settings.lender)) is None
    assert load_desk(file_of(None)) is not None
