"""`/v1/evals` and `/v1/quality`: runs, cases, two runs compared, recorded replies over time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from assistant import samples
from assistant.deps import open_deps
from assistant.models import today
from assistant.samples import Verdict
from assistant.staff import ROLES
from evals.kept_runs import list_runs
from evals.production import VERSIONS
from tests.conftest import settings_for
from tests.eval_runs import two_runs
from tests.knowledge_server import Server, serving

BEFORE, AFTER = "20261118T020000Z", "20261120T020000Z"
MAY_SEE = {"supervisor", "compliance", "admin", "auditor"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With two runs, one that cannot be read, a link that leads out, and ten weeks of verdicts."""
    home = tmp_path_factory.mktemp("quality")
    two_runs(home / "evals")
    broken = home / "evals" / "broken"
    broken.mkdir()
    for name in ("info.json", "cases.jsonl"):
        (broken / name).write_text("{", encoding="utf-8")
    outside = tmp_path_factory.mktemp("outside")
    two_runs(outside)
    (home / "evals" / "link").symlink_to(outside / AFTER)
    asyncio.run(keep_verdicts(home))
    with serving(home) as running:
        yield running


async def keep_verdicts(home: Path) -> None:
    """Ten weeks in which all was well until `figures` began to fail this week."""
    last = today()
    monday = last - timedelta(days=last.weekday())
    verdicts = [
        Verdict(f"{back:016x}{number:016x}", name, version, last - timedelta(days=back), passed)
        for back in range(70)
        for number in range(6)
        for name, version in VERSIONS.items()
        for passed in [not (name == "figures" and last - timedelta(days=back) >= monday)]
    ]
    async with open_deps(settings_for(home)) as deps:
        await samples.keep(deps.engine, verdicts)
        await samples.keep(deps.engine, verdicts)
        old = [Verdict("f" * 32, "figures", 0, last, False)]
        await samples.keep(deps.engine, old)


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client("auditor") as signed_in:
        yield signed_in


def test_runs_are_listed_the_newest_first_and_a_damaged_one_says_so(client: httpx.Client) -> None:
    found = client.get("/v1/evals").json()
    assert [run["id"] for run in found["runs"]] == [AFTER, BEFORE, "broken"]
    assert found["total"] == 3
    assert found["next"] is None
    assert found["runs"][0]["suites"][0]["metrics"]["status"]["n"] == 39
    assert found["runs"][0]["suites"][0]["topics"] == []
    assert "info.json" in found["runs"][2]["broken"]
    assert "/" not in found["runs"][2]["broken"], "the way to the folder is nobody's business"
    page = client.get("/v1/evals", params={"limit": 1, "offset": 1}).json()
    assert [run["id"] for run in page["runs"]] == [BEFORE]
    assert page["next"] == 2


def test_a_run_is_opened_by_suite_and_topic(client: httpx.Client) -> None:
    run = client.get(f"/v1/evals/{AFTER}").json()
    (suite,) = run["suites"]
    assert suite["n"] == 40
    assert suite["critical"] == 1
    assert suite["faults"] == 1
    assert [topic["name"] for topic in suite["topics"]] == ["rates", "fees"]
    assert run["judged"] == {"judge_tone": None}
    assert client.get("/v1/evals/broken").json()["broken"]


@pytest.mark.parametrize(
    "name",
    ["nothing", "link", "..", ".", "../evals", f"../evals/{AFTER}", ".hidden", "a" * 200, ""],
)
def test_no_name_leads_out_of_the_folder(name: str, client: httpx.Client) -> None:
    # The client itself takes a lone dot out of an address.
    paths = () if name in (".", "") else ("", "/cases", f"/changes?baseline={BEFORE}")
    for path in paths:
        answer = client.get(f"/v1/evals/{quote(name, safe='')}{path}")
        assert answer.status_code == 404, (name, path)
    answer = client.get(f"/v1/evals/{AFTER}/changes", params={"baseline": name})
    assert answer.status_code == 404


def test_cases_come_in_pages_the_worst_first_and_by_what_is_asked(client: httpx.Client) -> None:
    def cases(**asked: object) -> dict[str, object]:
        answer = client.get(f"/v1/evals/{AFTER}/cases", params=asked)  # type: ignore[arg-type]
        assert answer.status_code == 200, answer.text
        return answer.json()  # type: ignore[no-any-return]

    first = cases(limit=5)
    assert first["total"] == 12
    assert first["next"] == 5
    assert first["cases"][0]["case"] == "case-0"  # type: ignore[index]
    assert cases(limit=5, offset=10)["next"] is None
    assert cases(show="critical")["total"] == 1
    assert cases(show="faults")["total"] == 1
    assert cases(show="all")["total"] == 40
    assert cases(topic="fees", show="all")["total"] == 20
    assert cases(metric="figures")["total"] == 1
    assert cases(suite="no-such")["total"] == 0
    (odd,) = cases(case="case-39")["cases"]  # type: ignore[misc]
    assert odd["said"] == "half a pair ?"
    for wrong in ({"limit": 0}, {"limit": 1000}, {"show": "no"}, {"offset": -1}):
        assert client.get(f"/v1/evals/{AFTER}/cases", params=wrong).status_code == 422  # type: ignore[arg-type]


def test_two_runs_are_compared(client: httpx.Client) -> None:
    answer = client.get(f"/v1/evals/{AFTER}/changes", params={"baseline": BEFORE}).json()
    changed = {row["metric"]: row for row in answer["metrics"]}
    assert changed["status"]["lost_n"] == 10
    assert changed["status"]["significant"]
    assert not changed["figures"]["significant"]
    assert answer["differs"] == {"code": ["1", "2"]}


def test_drift_is_marked_where_chance_does_not_explain_it(client: httpx.Client) -> None:
    drift = client.get("/v1/quality/drift", params={"by": "week", "days": 60}).json()
    lines = {line["scorer"]: line for line in drift["lines"]}
    assert lines.keys() == set(VERSIONS)
    newest = lines["figures"]["points"][-1]
    assert newest["drift"] == "worse"
    assert newest["value"] == 0.0
    assert newest["p"] < 0.01
    assert newest["before"] == 1.0
    assert newest["n_before"] == 28 * 6
    assert {point["drift"] for point in lines["rules"]["points"][1:]} <= {"none", "unknown"}
    days = client.get("/v1/quality/drift", params={"by": "day", "days": 7}).json()
    assert [len(line["points"]) for line in days["lines"]] == [7] * len(VERSIONS)
    assert days["lines"][0]["points"][0]["n"] == 6, "a verdict that comes twice counts once"


def test_records_are_named_to_auditors_only(server: Server, client: httpx.Client) -> None:
    asked = {"scorer": "figures", "first": str(today()), "last": str(today())}
    found = client.get("/v1/quality/replies", params=asked).json()["replies"]
    assert len(found) == 6, "without those of an older version of the scorer"
    assert client.get("/v1/quality/replies", params={**asked, "scorer": "no"}).status_code == 404
    for role in MAY_SEE - {"auditor"}:
        with server.client(role) as other:
            assert other.get("/v1/quality/replies", params=asked).status_code == 403


@pytest.mark.parametrize("role", ["", *ROLES])
def test_who_may_see_how_good_the_assistant_is(role: str, server: Server) -> None:
    with server.client(role) as asking:
        expected = 200 if role in MAY_SEE else 403 if role else 401
        run = f"/v1/evals/{AFTER}"
        changes = f"{run}/changes?baseline={BEFORE}"
        for path in ("/v1/evals", run, f"{run}/cases", changes, "/v1/quality/drift"):
            assert asking.get(path).status_code == expected, path
        # Agents are shown the scores of their own conversations there.
        opens = role in MAY_SEE | {"agent"}
        assert asking.get("/quality").status_code == (200 if opens else 303)
        if role:
            assert ("/quality" in asking.get("/v1/staff/me").json()["pages"]) == opens


def test_without_any_run_the_list_is_empty(tmp_path: Path) -> None:
    assert list_runs(tmp_path / "nothing") == []
    (tmp_path / "evals").mkdir()
    assert list_runs(tmp_path / "evals") == []
