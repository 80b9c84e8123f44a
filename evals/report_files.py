"""Reports of a run, made from its folder: a page, a summary for a pull request, JUnit XML, JSON.

Texts of cases and replies are strangers' words: each format escapes them in its own way.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from assistant.models import Locale
from prompts.render import page, page_words

from .baseline import RunVerdicts, read_baseline
from .metrics import Share
from .records import CaseRecord
from .report import (
    JUDGED,
    Change,
    Comparison,
    Part,
    Refused,
    Run,
    Slice,
    as_json,
    badness,
    compare,
    read_run,
    verdicts,
    wrong_in,
)

PAGE, SUMMARY, JUNIT, DATA = "report.html", "summary.md", "junit.xml", "report.json"

WORST_ON_PAGE = 40
"""Cases shown a suite."""
WORST_IN_SUMMARY = 10
REFUSED: Mapping[Refused, str] = {
    "not_before": "was not run then",
    "other_cases": "asks other cases than then: its figures cannot be compared",
    "other_metrics": "measures other metrics than then: its figures cannot be compared",
}

_MOST_CHARS = 160
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, even escaped."""
_MARKUP = re.compile(r"[^\w\s\u3000-\u303f\uff00-\uffef\u2014\u2018-\u201d\u2026]|(?<!\w)_|_(?!\w)")
_BLANK = re.compile(r"\s+")


def write_reports(
    folder: Path,
    out: Path,
    *,
    baseline: Path | None = None,
    locale: Locale = "zh-Hans",
    totals_only: Collection[str] = (),
) -> list[Path]:
    """Write every format of the report of a run; returns the files.

    baseline: folder of an earlier run, or a file of its verdicts, to say what changed since.
    totals_only: suites whose cases are not shown, such as those that nobody may tune on.
    Raises BadRun, BadBaseline.
    """
    run = read_run(folder)
    comparison = compare(_earlier(baseline), run, baseline.stem) if baseline else None
    data = as_json(run, comparison, totals_only)
    written = {
        PAGE: as_page(run, comparison, locale, totals_only),
        SUMMARY: as_summary(run, comparison, totals_only),
        JUNIT: as_junit(run, totals_only),
        DATA: json.dumps(data, ensure_ascii=False, indent=2, allow_nan=False) + "\n",
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, text in written.items():
        (out / name).write_text(text, encoding="utf-8")
    return [out / name for name in written]


def _earlier(baseline: Path) -> RunVerdicts:
    return verdicts(read_run(baseline)) if baseline.is_dir() else read_baseline(baseline)


# JUnit -------------------------------------------------------------------------------------------


def as_junit(run: Run, totals_only: Collection[str] = ()) -> str:
    """Every asking of a case as a test case: what is wrong is a failure, a fault an error."""
    root = ElementTree.Element("testsuites", name="zhunxin eval", time=_seconds(run.records))
    totals = dict.fromkeys(("tests", "failures", "errors"), 0)
    for part in run.parts:
        records = [record for record in run.records if record.suite == part.name]
        errors = sum(bool(record.fault) for record in records)
        failures = sum(not record.passed for record in records) - errors
        counts = {"tests": len(records), "failures": failures, "errors": errors}
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=_xml(part.name),
            timestamp=_xml(run.info.started),
            time=_seconds(records),
            skipped="0",
        )
        suite.attrib.update({name: str(count) for name, count in counts.items()})
        for name, count in counts.items():
            totals[name] += count
        for record in records:
            _add_case(suite, record, run.info.seeds > 1, part.name in totals_only)
    root.attrib.update({name: str(count) for name, count in totals.items()})
    ElementTree.indent(root)
    text: str = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _add_case(
    suite: ElementTree.Element, record: CaseRecord, several: bool, totals_only: bool
) -> None:
    case = ElementTree.SubElement(
        suite,
        "testcase",
        classname=_xml(f"{record.suite}.{record.topic}"),
        name=_xml(f"{record.case} seed {record.seed}" if several else record.case),
        time=_seconds([record]),
    )
    if record.fault:
        told = "" if totals_only else _short(record.fault)
        ElementTree.SubElement(case, "error", type="fault", message=_xml(told))
    elif not record.passed:
        kind = "critical" if record.critical else "wrong"
        named = ", ".join(wrong_in(record))
        failure = ElementTree.SubElement(case, "failure", type=kind, message=_xml(named))
        if not totals_only:
            failure.text = _xml(_account(record))


def _account(record: CaseRecord) -> str:
    lines = [f"asked: {record.text}", f"expected: {record.expected}", f"said: {record.said}"]
    lines += [f"cited: {place}" for place in record.cited]
    lines += [f"{n}: wanted {c.wanted}; got {c.got}" for n, c in wrong_in(record).items()]
    return "\n".join(lines)


def _seconds(records: Iterable[CaseRecord]) -> str:
    return f"{sum(record.latency_ms for record in records) / 1000:.3f}"


def _xml(text: str) -> str:
    return _UNPRINTABLE.sub("\ufffd", text)


# A summary for a pull request --------------------------------------------------------------------


def as_summary(
    run: Run, comparison: Comparison | None = None, totals_only: Collection[str] = ()
) -> str:
    """Markdown, short enough for a comment."""
    missed = [f"{_md(part.name)} {_md(name)}" for part in run.parts for name in part.missed]
    counted = {
        name: sum(getattr(part, name) for part in run.parts) for name in ("n", "critical", "faults")
    }
    if missed:
        verdict = f"below the bar: {', '.join(missed)}"
    elif not any(part.metrics for part in run.parts):
        verdict = "nothing was measured, which is no success"
    elif counted["critical"]:
        verdict = "every bar is met, but cases are wrong in what must never fail"
    else:
        verdict = "every bar is met"
    compared = ("--:|---|", " before | change |") if comparison else ("", "")
    lines = [
        f"### Evaluation: {verdict}",
        "",
        f"{counted['n']} cases in {len(run.parts)} suites; {counted['critical']} are wrong in what "
        f"must never fail, {counted['faults']} could not be scored.",
        "",
        f"| suite | metric | n | share | 95 % interval | bar |{compared[1]}",
        f"|---|---|--:|--:|---|--:|{compared[0]}",
    ]
    changes = {(c.suite, c.metric): c for c in comparison.changes} if comparison else {}
    for part in run.parts:
        for name, share in part.metrics.items():
            cells = _summary_cells(part, name, share)
            if comparison:
                cells += _change_cells(changes.get((part.name, name)))
            lines.append(f"| {' | '.join(cells)} |")
    for name in run.judged:
        worth = run.calibration.get(name, "its judge is not calibrated, so no gate uses it")
        lines += ["", f"{_md(name)}: {_md(worth)}"]
    if comparison:
        lines += ["", *_summary_of(comparison, totals_only)]
    lines += ["", *_summary_worst(run, totals_only)]
    told = ", ".join(f"{name} {value}" for name, value in run.info.versions.items() if value)
    lines += ["", f"Run {_md(run.info.run)} of {_md(run.info.started)}: {_md(told, 1000)}."]
    return "\n".join(lines) + "\n"


def _summary_cells(part: Part, name: str, share: Share) -> list[str]:
    bar = f"{part.bars[name]:.2f}" if name in part.bars else "–"
    return [
        _md(part.name),
        _md(name),
        str(share.n),
        f"{share.value:.3f}",
        f"{share.low:.3f}–{share.high:.3f}",
        f"**{bar} missed**" if name in part.missed else bar,
    ]


def _change_cells(change: Change | None) -> list[str]:
    if change is None:
        return ["–", "–"]
    before = f"{change.before.value:.3f}"
    if not change.lost and not change.won:
        return [before, "none"]
    told = f"{len(change.lost)} lost, {len(change.won)} won"
    if change.lost:
        sure = "more than chance" if change.significant else "may be chance"
        told += f" (p {change.p:.2g}, {sure})"
    return [before, told]


def _summary_of(comparison: Comparison, totals_only: Collection[str]) -> Iterator[str]:
    yield f"Compared with run {_md(comparison.against)}:"
    yield ""
    for name, (then, now) in comparison.differs.items():
        yield f"- {_md(name)}: {_md(then or 'none')} then, {_md(now or 'none')} now"
    for suite, reason in comparison.refused.items():
        yield f"- {_md(suite)} {REFUSED[reason]}"
    for change in comparison.changes:
        if change.lost and change.suite not in totals_only:
            named = ", ".join(_md(case) for case in change.lost[:WORST_IN_SUMMARY])
            more = len(change.lost) - WORST_IN_SUMMARY
            rest = f" and {more} more" if more > 0 else ""
            yield f"- {_md(change.suite)} {_md(change.metric)}, lost: {named}{rest}"


def _summary_worst(run: Run, totals_only: Collection[str]) -> Iterator[str]:
    worst = [r for part in run.parts if part.name not in totals_only for r in part.worst]
    if not worst:
        return
    yield f"<details><summary>The worst of {len(worst)} wrong cases</summary>"
    yield ""
    yield "| case | asked | expected | said | wrong in |"
    yield "|---|---|---|---|---|"
    for record in sorted(worst, key=badness)[:WORST_IN_SUMMARY]:
        wrong = record.fault or ", ".join(wrong_in(record))
        cells = (record.case, record.text, record.expected, record.said, wrong)
        yield f"| {' | '.join(_md(cell) or '–' for cell in cells)} |"
    yield ""
    yield "</details>"


def _md(text: str, most: int = _MOST_CHARS) -> str:
    """Words that mean themselves in Markdown and HTML: no link, mention, tag or cell begins."""
    plain = _UNPRINTABLE.sub("\ufffd", _short(text, most))
    return _MARKUP.sub(lambda sign: _HARMLESS.get(sign[0], f"&#{ord(sign[0])};"), plain)


_HARMLESS = {sign: sign for sign in ",;.%+?/="} | {"@": "&#64;&#8288;", "-": "-"}
"""Signs that begin nothing within a line; a name after @ would be called, entity or not."""


def _short(text: str, most: int = _MOST_CHARS) -> str:
    line = _BLANK.sub(" ", text).strip()
    return line if len(line) <= most else line[: most - 1] + "…"


# The page ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Strip:
    """A share with its interval, drawn from 0 to 1; in hundredths of the picture's width."""

    value: float
    low: float
    high: float
    bar: float | None
    """Where the bar stands; None where there is none."""
    before: float | None
    """What it was in the run that is compared with."""
    missed: bool


def as_page(
    run: Run,
    comparison: Comparison | None = None,
    locale: Locale = "zh-Hans",
    totals_only: Collection[str] = (),
) -> str:
    """One HTML document that loads nothing."""
    words = page_words("eval_report", locale)
    changes = {(c.suite, c.metric): c for c in comparison.changes} if comparison else {}
    text = page(
        "eval_report",
        locale=locale,
        words=words,
        run=run,
        comparison=comparison,
        totals_only=totals_only,
        suites=[_on_page(part, run, changes, part.name in totals_only) for part in run.parts],
        totals={
            name: sum(getattr(part, name) for part in run.parts)
            for name in ("n", "failed", "critical", "faults")
        },
        measured=any(part.metrics for part in run.parts),
        missed=[(part.name, name) for part in run.parts for name in part.missed],
        most=WORST_ON_PAGE,
        currency=run.info.versions.get("prices", "").partition(" ")[0],
    )
    return _UNPRINTABLE.sub("\ufffd", text) + "\n"


def _on_page(
    part: Part, run: Run, changes: Mapping[tuple[str, str], Change], totals_only: bool
) -> dict[str, Any]:
    rows = []
    for name, share in part.metrics.items():
        change = changes.get((part.name, name))
        bar = part.bars.get(name)
        rows.append(
            {
                "name": name,
                "share": share,
                "bar": bar,
                "missed": name in part.missed,
                "change": change,
                "judged": name.startswith(JUDGED),
                "calibration": run.calibration.get(name),
                "strip": _strip(share, bar, change.before if change else None),
            }
        )
    return {
        "part": part,
        "rows": rows,
        "topics": [_sliced(one) for one in part.topics if one.failed],
        "faultless": [one for one in part.topics if not one.failed],
        "difficulties": [_sliced(one) for one in part.difficulties],
        "rules": [one for one in part.rules if one.missed or one.wrong],
        "faultless_rules": [one for one in part.rules if not (one.missed or one.wrong)],
        "worst": []
        if totals_only
        else [(record, wrong_in(record)) for record in part.worst[:WORST_ON_PAGE]],
        "totals_only": totals_only,
    }


def _sliced(one: Slice) -> dict[str, Any]:
    return {"slice": one, "strip": _strip(one.passed)}


def _strip(share: Share, bar: float | None = None, before: Share | None = None) -> Strip:
    return Strip(
        value=_across(share.value),
        low=_across(share.low),
        high=_across(share.high),
        bar=None if bar is None else _across(bar),
        before=None if before is None else _across(before.value),
        missed=bar is not None and share.value < bar,
    )


def _across(share: float) -> float:
    """With room for the marks at both ends."""
    return round(3 + 94 * share, 2)
