"""The audit chain over HTTP: for whom, page by page, and a replay."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.knowledge_server import Server, copy_of, serving


@pytest.fixture(scope="module")
def server(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = copy_of(sample_home, tmp_path_factory.mktemp("audit") / "home")
    with serving(home) as running:
        yield running


@pytest.fixture(scope="module")
def reply(server: Server) -> dict[str, Any]:
    with server.client() as client:
        body = {"message": "提前还款要收违约金吗？"}
        answer = client.post("/v1/chat", params={"stream": "false"}, json=body)
    assert answer.status_code == 200
    made: dict[str, Any] = answer.json()
    return made


def get(server: Server, role: str, path: str, **params: Any) -> Any:
    with server.client(role) as client:
        answer = client.get(path, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize(
    ("role", "chain", "record"),
    [("auditor", 200, 200), ("admin", 200, 403), ("compliance", 403, 403), ("", 401, 401)],
)
def test_auditors_read_records_and_admins_the_chain_alone(
    server: Server, reply: dict[str, Any], role: str, chain: int, record: int
) -> None:
    with server.client(role) as client:
        assert client.get("/v1/audit").status_code == chain
        one = f"/v1/audit/{reply['record_id']}"
        assert client.get(one).status_code == record
        assert client.post(f"{one}/replay").status_code == record


def test_the_chain_is_read_page_by_page(server: Server, reply: dict[str, Any]) -> None:
    first = get(server, "auditor", "/v1/audit", limit=3)
    assert first["verdict"]["ok"] is True
    assert [entry["seq"] for entry in first["entries"]] == [1, 2, 3]
    seen, after = 3, first["next"]
    while after is not None:
        page = get(server, "auditor", "/v1/audit", after=after, limit=500)
        assert page["verdict"] is None
        seen, after = seen + len(page["entries"]), page["next"]
    assert seen == page["length"]
    assert page["entries"][-1]["subject"] == reply["record_id"]


def test_a_record_is_read_with_its_rows_and_made_again(
    server: Server, reply: dict[str, Any]
) -> None:
    found = get(server, "auditor", f"/v1/audit/{reply['record_id']}")
    assert found["record"]["question"] == "提前还款要收违约金吗？"
    assert [entry["kind"] for entry in found["entries"]] == ["question", "reply"]
    assert (found["erased"], found["broken"]) == (False, "")
    with server.client("auditor") as client:
        again = client.post(f"/v1/audit/{reply['record_id']}/replay").json()
        assert client.get("/v1/audit/none").status_code == 404
        assert client.post("/v1/audit/none/replay").status_code == 404
    assert (again["identical"], again["outcome"]) == (True, "identical")


def test_the_roll_back_of_a_release_names_who_did_it(server: Server, reply: dict[str, Any]) -> None:
    with server.client("compliance") as client:
        me = client.get("/v1/staff/me").json()
        address = f"/v1/knowledge/releases/{reply['release']}/activate"
        assert client.post(address).status_code == 200
    # Other tests of this process may have asked thousands of questions in the same home before.
    length = get(server, "auditor", "/v1/audit", limit=1)["length"]
    (last,) = get(server, "auditor", "/v1/audit", after=length - 1, limit=1)["entries"]
    assert (last["kind"], last["subject"]) == ("release", reply["release"])
    assert (last["body"]["action"], last["body"]["by"]) == ("activated", me["id"])


def test_a_damaged_record_is_told_and_not_a_fault(server: Server, reply: dict[str, Any]) -> None:
    with server.client() as client:
        body = {"message": "宽限期几天？"}
        other = client.post("/v1/chat", params={"stream": "false"}, json=body).json()
    with closing(sqlite3.connect(server.home / "zhunxin.db")) as connection:
        change = "UPDATE records SET reply = '{' || reply WHERE id = ?"
        connection.execute(change, [other["record_id"]])
        connection.commit()
    found = get(server, "auditor", f"/v1/audit/{other['record_id']}")
    assert "'reply'" in found["broken"]
    chain = get(server, "auditor", "/v1/audit")
    assert chain["verdict"]["ok"] is False
    assert "'reply'" in chain["verdict"]["reason"]
