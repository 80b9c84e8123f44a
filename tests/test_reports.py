"""Reports of a run: the page, the summary, JUnit XML and JSON, over words that try to break out."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from assistant.cli import app
from assistant.models import LOCALES
from evals.document import parts_as_table, with_parts
from evals.records import BadRun, RunInfo, write_run
from evals.report import CALIBRATION, read_run
from evals.report_files import DATA, JUNIT, PAGE, SUMMARY, write_reports
from prompts.render import page_words
from tests.eval_runs import AFTER, case, info, two_runs


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A folder with the reports of a run beside an earlier one."""
    earlier, later = two_runs(tmp_path)
    files = write_reports(later, tmp_path / "out", baseline=earlier)
    assert [file.name for file in files] == [PAGE, SUMMARY, JUNIT, DATA]
    return tmp_path / "out"


class Seen(HTMLParser):
    """Tags, addresses and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.attributes: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "action")]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("locale", LOCALES)
def test_the_page_loads_nothing_and_runs_nothing_whatever_stands_in_the_cases(
    locale: str, tmp_path: Path
) -> None:
    earlier, later = two_runs(tmp_path)
    write_reports(later, tmp_path / "out", baseline=earlier, locale=locale)  # type: ignore[arg-type]
    text = (tmp_path / "out" / PAGE).read_text(encoding="utf-8")
    seen = Seen(text)
    assert not {"script", "img", "link", "iframe", "object", "form"} & set(seen.tags)
    assert all(link.startswith("#") for link in seen.links)
    assert not [name for name in seen.attributes if name.startswith("on")]
    assert "url(" not in text
    assert "@import" not in text
    assert "default-src 'none'" in text
    assert "\x00" not in text
    assert "\x1b" not in text
    assert "<script>alert(1)</script> ]]>" in seen.text, "shown as it is, and not run"
    assert "{{ 7*7 }}" in seen.text
    words = page_words("eval_report", locale)
    for name in ("since", "expected", "said", "cited", "findings", "uncalibrated"):
        assert words[name] in seen.text, name
    assert f'lang="{locale}"' in text


def test_the_wording_of_the_page_is_complete_in_every_language() -> None:
    first, *others = (page_words("eval_report", locale) for locale in LOCALES)
    for other in others:
        assert other.keys() == first.keys()
        for name, wording in first.items():
            if isinstance(wording, str):
                slots = set(re.findall(r"\{(\w+)\}", wording))
                assert slots == set(re.findall(r"\{(\w+)\}", other[name])), name
            else:
                assert other[name].keys() == wording.keys()


def test_junit_has_one_test_case_a_case_and_faults_as_errors(written: Path) -> None:
    root = ElementTree.parse(written / JUNIT).getroot()
    cases = root.findall("./testsuite/testcase")
    assert len(cases) == len(AFTER) + 1 == 40
    assert len({case.get("name") for case in cases}) == len(cases)
    assert root.get("tests") == "40"
    assert root.get("failures") == str(len(root.findall(".//failure"))) == "11"
    assert root.get("errors") == str(len(root.findall(".//error"))) == "1"
    critical = [f for f in root.iter("failure") if f.get("type") == "critical"]
    assert [f.get("message") for f in critical] == ["figures"]
    assert "<script>alert(1)</script> ]]>" in (critical[0].text or "")
    assert "\u2028" in (critical[0].text or "")
    assert root.find("./testsuite").get("skipped") == "0"  # type: ignore[union-attr]


def test_nothing_in_the_summary_becomes_a_tag_a_link_a_mention_or_a_cell(written: Path) -> None:
    text = (written / SUMMARY).read_text(encoding="utf-8")
    assert set(re.findall(r"<[^>]+>", text)) == {
        "<details>", "<summary>", "</summary>", "</details>"
    }  # fmt: skip
    assert "](" not in text
    assert "@" not in text
    assert "`" not in text
    assert "://" not in text
    tables = [line for line in text.split("\n") if line.startswith("|")]
    assert {line.count("|") for line in tables} == {9, 6}
    assert len(text) < 65_000, "what a comment may hold"
    assert "below the bar" in text
    assert "11 lost, 0 won" in text
    assert "more than chance" in text
    assert "is not calibrated" in text


def test_what_changed_is_told_case_by_case_with_its_chance(written: Path) -> None:
    found = json.loads((written / DATA).read_text(encoding="utf-8"))
    changed = {row["metric"]: row for row in found["changes"]["metrics"]}
    assert changed["status"]["lost"] == [f"case-{n}" for n in (*range(1, 10), 39)]
    assert changed["status"]["won"] == []
    assert changed["status"]["significant"] is True
    assert changed["figures"]["significant"] is False
    assert found["changes"]["differs"] == {"code": ["1", "2"]}
    (suite,) = found["suites"]
    assert suite["critical"] == 1
    assert suite["faults"] == 1
    assert suite["failed"] == 12
    assert [topic["name"] for topic in suite["topics"]] == ["rates", "fees"], "the weakest first"
    assert sum(topic["n"] for topic in suite["topics"]) == suite["n"] == 40
    assert suite["wrong"][0] == "case-0", "what must never fail comes first"


@pytest.mark.parametrize("totals_only", [(), ("answers",)])
def test_labelled_messages_are_counted_by_rule_those_with_mistakes_first(
    tmp_path: Path, totals_only: tuple[str, ...]
) -> None:
    records = [
        case(20, rules={"CN-AAA-01": "found", "CN-PROM-01": "missed"}),
        case(21, rules={"CN-AAA-01": "found", "CN-PROM-01": "found", "CN-ZZZ-01": "wrong"}),
        case(22, rules={"CN-PROM-01": "missed"}),
        case(23),
    ]
    write_run(tmp_path / "run", info("now"), records)
    write_reports(tmp_path / "run", tmp_path / "out", locale="en", totals_only=totals_only)
    (suite,) = json.loads((tmp_path / "out" / DATA).read_text(encoding="utf-8"))["suites"]
    assert suite["rules"] == [
        {"rule": "CN-PROM-01", "found": 1, "missed": 2, "wrong": 0},
        {"rule": "CN-ZZZ-01", "found": 0, "missed": 0, "wrong": 1},
        {"rule": "CN-AAA-01", "found": 2, "missed": 0, "wrong": 0},
    ]
    told = Seen((tmp_path / "out" / PAGE).read_text(encoding="utf-8")).text
    rows = told[told.index("Which rules are missed") :]
    assert rows.index("CN-PROM-01") < rows.index("CN-ZZZ-01")
    assert "Rules without a mistake (1, with how often they were found): CN-AAA-01 (2)" in rows


def test_suites_run_on_several_days_stand_in_one_table_each_with_its_version() -> None:
    def run(day: str, code: str, **values: float) -> dict[str, object]:
        suites = [
            {
                "name": name.replace("_", "-"),
                "n": 40,
                "critical": 0,
                "faults": 1,
                "metrics": {"facts": {"value": value, "low": 0.4, "high": 1.0, "n": 40}},
                "bars": {"facts": 0.9},
                "topics": [],
            }
            for name, value in values.items()
        ]
        versions = {"code": code, "model": "local", "rules": "1"}
        return {"started": f"{day}T22:00:00+00:00", "versions": versions, "suites": suites}

    first = with_parts({}, [run("2026-11-20", "0.1.0+abcdef0123", figures=0.8, answers=1.0)])
    parts = with_parts(first, [run("2026-11-21", "0.1.0+0123456789", figures=0.95, as_of=0.5)])
    assert list(parts) == ["answers", "figures", "as-of"], "in the order of the suites"
    table = list(parts_as_table(parts))
    assert table[0].startswith("120 cases in 3 suites; 0 are wrong")
    rows = [line for line in table if "| facts |" in line]
    assert rows == [
        "| answers | 40 | 2026-11-20 | abcdef0 | facts | 40 | 1.000 | 0.400–1.000 | 0.90 |",
        "| figures | 40 | 2026-11-21 | 0123456 | facts | 40 | 0.950 | 0.400–1.000 | 0.90 |",
        "| as-of | 40 | 2026-11-21 | 0123456 | facts | 40 | 0.500 | 0.400–1.000 "
        "| **0.90 missed** |",
    ]


def test_a_calibrated_judge_is_told_with_what_it_is_worth(tmp_path: Path) -> None:
    _, later = two_runs(tmp_path)
    (later / CALIBRATION).write_text(json.dumps({"judge_tone": "kappa 0.71"}), encoding="utf-8")
    write_reports(later, tmp_path / "out")
    for name in (PAGE, SUMMARY):
        text = (tmp_path / "out" / name).read_text(encoding="utf-8")
        assert "kappa 0.71" in text
        assert "not calibrated" not in text


def test_the_cases_of_a_suite_that_nobody_may_tune_on_stay_out(tmp_path: Path) -> None:
    earlier, later = two_runs(tmp_path)
    write_reports(later, tmp_path / "out", baseline=earlier, totals_only=["answers"])
    page = Seen((tmp_path / "out" / PAGE).read_text(encoding="utf-8")).text
    assert page_words("eval_report", "zh-Hans")["worst_hidden"] in page
    for name in (PAGE, SUMMARY, DATA):
        text = (tmp_path / "out" / name).read_text(encoding="utf-8")
        assert not [words for words in ("alert(1)", "case-1") if words in text], name
    assert "alert(1)" not in (tmp_path / "out" / JUNIT).read_text(encoding="utf-8")


def test_the_command_writes_a_report_again_and_refuses_what_is_no_run(tmp_path: Path) -> None:
    earlier, later = two_runs(tmp_path)
    out = tmp_path / "again"
    words = ["eval", "report", str(later), "--baseline", str(earlier), "--out", str(out), "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert [Path(name).name for name in json.loads(done.stdout)["files"]] == [
        PAGE, SUMMARY, JUNIT, DATA
    ]  # fmt: skip
    for words in (
        ["eval", "report", str(tmp_path / "nothing"), "--out", str(out)],
        ["eval", "report", str(later), "--out", str(out), "--locale", "fr"],
    ):
        refused = CliRunner().invoke(app, words)
        assert refused.exit_code == 2
        assert "Traceback" not in refused.output


def test_a_damaged_run_is_named_with_its_line(tmp_path: Path) -> None:
    _, later = two_runs(tmp_path)
    with (later / "cases.jsonl").open("a", encoding="utf-8") as out:
        out.write("{\n")
    with pytest.raises(BadRun, match=r"cases\.jsonl:41"):
        read_run(later)


def test_a_run_in_which_nothing_was_measured_is_no_success(tmp_path: Path) -> None:
    write_run(tmp_path / "run", RunInfo("r", "2026-11-20T02:00:00+00:00", 0.0, 1, {}, ()), [])
    write_reports(tmp_path / "run", tmp_path / "out")
    page = (tmp_path / "out" / PAGE).read_text(encoding="utf-8")
    assert page_words("eval_report", "zh-Hans")["verdict_none"] in page
    assert "every bar is met" not in (tmp_path / "out" / SUMMARY).read_text(encoding="utf-8")
