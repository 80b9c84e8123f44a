"""The studio's routes: from a brief to an approved draft, who may do what, and what is refused."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

import knowledge
from assistant import drafts, offer_jobs
from assistant.audit import verify
from assistant.campaign_results import BadResults, Outcome, newcombe, read_csv, wilson
from assistant.deps import Deps, open_deps
from assistant.models import today
from assistant.offer_jobs import MOST_OF_ONE, MOST_WAITING, Wanted, Worker
from assistant.staff import create_account
from prompts.render import page_words
from tests.conftest import settings_for
from tests.knowledge_server import Server, copy_of, serving
from tests.test_drafts import PASSES, content_of

DATA = Path(knowledge.__file__).parent
SPRING = "spring-2027"


def lender_folder(folder: Path) -> Path:
    """The sample lender with campaigns that run now, whatever day it is."""
    folder.mkdir()
    for name in ("lender.toml", "desk.toml"):
        shutil.copy(DATA / name, folder / name)
    shutil.copytree(DATA / "campaigns", folder / "campaigns")
    spring = folder / "campaigns" / f"{SPRING}.toml"
    text = spring.read_text("utf-8")
    text = text.replace("2026-11-16", str(today() - timedelta(days=9)))
    spring.write_text(text.replace("2027-01-31", str(today() + timedelta(days=60))), "utf-8")
    return folder / "lender.toml"


@pytest.fixture(scope="module")
def server(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("offers")
    home = copy_of(sample_home, folder / "home")
    lender = lender_folder(folder / "lender")
    with serving(home, ZHUNXIN_LENDER=str(lender)) as running:
        yield running


SignedIn = Callable[[str], httpx.Client]


@pytest.fixture(scope="module")
def clients(server: Server) -> Iterator[SignedIn]:
    """A client for each role, signed in once."""
    with ExitStack() as stack:
        yield cache(lambda role: stack.enter_context(server.client(role)))


def drafted(client: httpx.Client, **more: Any) -> list[dict[str, Any]]:
    """Drafts of the spring campaign, as the job leaves them."""
    body = {"campaign": SPRING, "channels": ["sms"], "variants": 1, **more}
    asked = client.post("/v1/offers", json=body)
    assert asked.status_code == 202, asked.text
    job = asked.json()
    deadline = time.monotonic() + 60
    while job["state"] in ("queued", "running") and time.monotonic() < deadline:
        time.sleep(0.02)
        job = client.get(f"/v1/offers/jobs/{job['id']}").json()
    assert job["state"] == "done", job
    assert job["done"] == job["total"] == len(body["channels"])
    return [client.get(f"/v1/drafts/{draft_id}").json() for draft_id in job["drafts"]]


def step(client: httpx.Client, draft: dict[str, Any], name: str, **more: Any) -> httpx.Response:
    body = {"seen": draft["sha256"], "comment": "好", **more}
    return client.post(f"/v1/drafts/{draft['id']}/{name}", json=body)


def waiting(clients: SignedIn, **more: Any) -> dict[str, Any]:
    """A draft that waits for approval."""
    draft = next(d for d in drafted(clients("marketer"), **more) if d["state"] == "checked")
    done = step(clients("marketer"), draft, "submit")
    assert done.status_code == 200, done.text
    held: dict[str, Any] = done.json()
    return held


# Campaigns and segments


def test_campaigns_are_listed_with_what_is_left_of_them(clients: SignedIn) -> None:
    listed = clients("auditor").get("/v1/campaigns").json()
    assert listed["may"] == ["read"]
    spring = next(each for each in listed["campaigns"] if each["id"] == SPRING)
    assert (spring["state"], spring["contacted"]) == ("running", 0)
    page = clients("auditor").get("/v1/campaigns", params={"limit": 1}).json()
    assert (len(page["campaigns"]), page["total"], page["next"]) == (1, listed["total"], 1)
    whole = clients("marketer").get(f"/v1/campaigns/{SPRING}").json()
    rate = next(c for c in whole["coupons"] if c["id"] == "anxin-rate-90")
    assert (rate["values"]["discount"], rate["stock"], rate["left"]) == ("0.9", 20000, 20000)
    odds = [prize["odds"] for draw in whole["draws"] for prize in draw["prizes"]]
    assert odds
    assert all(0 < float(each) <= 1 for each in odds)
    assert {"campaign_starts", "coupon_ends"} <= {day["what"] for day in whole["calendar"]}
    assert clients("marketer").get("/v1/campaigns/no-such").status_code == 404


def test_a_segment_is_kept_counted_and_shown_masked(server: Server, clients: SignedIn) -> None:
    client = clients("marketer")
    conditions = [{"attribute": "months_as_customer", "op": "at_least", "value": 1}]
    body = {"title": "老客户", "conditions": conditions}
    saved = client.post("/v1/segments", json=body)
    assert saved.status_code == 200, saved.text
    assert client.post("/v1/segments", json=body).json()["id"] == saved.json()["id"]
    listed = client.get("/v1/segments").json()
    assert [each["title"]["zh-Hans"] for each in listed["segments"]] == ["老客户"]
    assert any(each["sensitive"] for each in listed["attributes"])

    counted = client.post(
        "/v1/segments/count",
        json={"conditions": conditions, "campaign": SPRING, "channel": "sms"},
    ).json()
    assert counted["whole"]
    assert 0 < counted["matching"] <= counted["of"]
    assert counted["attributes"] == ["months_as_customer"]
    assert counted["reachable"] + sum(counted["refusals"].values()) >= counted["matching"]
    assert counted["preview"]
    for each in counted["preview"]:
        assert "*" in each["name"] or "＊" in each["name"] or "某" in each["name"], each["name"]
    everybody = client.post("/v1/segments/count", json={"conditions": []}).json()
    assert everybody["matching"] == everybody["of"]
    assert everybody["reachable"] is None


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        ({"attribute": "shoe_size", "op": "is", "value": 40}, "segment_unknown"),
        ({"attribute": "ethnicity", "op": "is", "value": "x"}, "segment_sensitive"),
        ({"attribute": "open_loans", "op": "is", "value": "many"}, "segment_value"),
        ({"attribute": "student", "op": "at_least", "value": 1}, "segment_op"),
    ],
)
def test_a_segment_by_what_may_not_be_used_is_refused(
    clients: SignedIn, condition: dict[str, Any], code: str
) -> None:
    for path, more in (("/v1/segments", {"title": "x"}), ("/v1/segments/count", {})):
        answer = clients("marketer").post(path, json={"conditions": [condition], **more})
        assert answer.status_code == 422, answer.text
        told = answer.json()
        assert told["code"] == code
        assert told["fields"][0]["field"] == "conditions.0"


# Drafts


def test_a_brief_becomes_drafts_for_a_segment_and_for_everybody(clients: SignedIn) -> None:
    made = drafted(clients("marketer"), segment="renewing", channels=["sms", "push"], variants=2)
    assert {d["channel"] for d in made} == {"sms", "push"}
    assert {d["segment"] for d in made} == {"renewing", "plain"}
    for draft in made:
        assert draft["state"] == "checked", draft["findings"]
        assert draft["may"] == ["edit", "submit", "withdraw"]
        assert draft["mine"]
        assert draft["personalised"] == (draft["segment"] == "renewing")
        assert draft["opening"] in draft["sample"]
        assert draft["closing"] in draft["sample"]
        assert draft["calculation"]["saving_cny"]
        assert [s["action"] for s in draft["history"]] == ["created"]
    sms = [d for d in made if d["channel"] == "sms"]
    assert all(d["length"]["parts"] <= d["length"]["limit"] for d in sms)
    listed = clients("auditor").get("/v1/drafts", params={"campaign": SPRING, "limit": 2}).json()
    assert len(listed["drafts"]) == 2
    assert listed["total"] >= len(made)
    none = clients("auditor").get("/v1/drafts", params={"state": ["approved", "expired"]}).json()
    assert all(d["state"] in ("approved", "expired") for d in none["drafts"])


def test_a_draft_is_approved_by_another_and_then_frozen(server: Server, clients: SignedIn) -> None:
    draft = waiting(clients, segment="renewing")
    assert draft["state"] == "submitted"
    seen = clients("compliance").get(f"/v1/drafts/{draft['id']}").json()
    assert seen["may"] == ["approve", "reject", "withdraw"]
    assert not seen["may_send"]
    done = step(clients("compliance"), seen, "approve", comment="可以")
    assert done.status_code == 200, done.text
    held = done.json()
    assert (held["state"], held["may_send"], held["lapsed"]) == ("approved", True, "")
    assert [s["action"] for s in held["history"]] == ["created", "submitted", "approved"]
    assert held["history"][-1]["comment"] == "可以"

    edited = clients("marketer").patch(
        f"/v1/drafts/{draft['id']}",
        json={"template": f"想一想，{draft['template']}", "subject": "", "seen": held["sha256"]},
    )
    assert edited.status_code == 200, edited.text
    after = edited.json()
    assert (after["state"], after["version"], after["may_send"]) == ("checked", 2, False)
    assert after["made_by"] == "person"
    assert [v["number"] for v in after["versions"]] == [1, 2]
    assert (after["opening"], after["closing"]) == (draft["opening"], draft["closing"])
    assert server.portal.call(verify, server.deps.trail).ok


def test_an_edited_text_of_a_model_stays_known_as_one(server: Server, clients: SignedIn) -> None:
    drafted_id = drafted(clients("marketer"))[0]["id"]
    found = server.portal.call(drafts.read_draft, server.deps.engine, drafted_id)
    assert found is not None
    check = replace(found.check, made_by="model", prompt_version="p1")
    text = f"想一想，{found.content.template}"
    _, after = server.portal.call(
        offer_jobs.redraft, server.deps, found.content, check, text, found.content.subject
    )
    assert (after.made_by, after.prompt_version) == ("person", "p1")


def test_nobody_approves_their_own_whatever_roles_they_have(clients: SignedIn) -> None:
    draft = next(d for d in drafted(clients("admin")) if d["state"] == "checked")
    sent = step(clients("admin"), draft, "submit").json()
    assert sent["may"] == ["edit", "withdraw"]
    for name in ("approve", "reject"):
        answer = step(clients("admin"), sent, name)
        assert (answer.status_code, answer.json()["code"]) == (403, "own_draft")
    assert step(clients("compliance"), sent, "reject", comment="").status_code == 422
    turned = step(clients("compliance"), sent, "reject", comment="太笼统")
    assert turned.json()["state"] == "rejected"


def test_who_comes_second_is_told_what_happened(clients: SignedIn) -> None:
    draft = waiting(clients)
    assert step(clients("compliance"), draft, "approve").status_code == 200
    late = step(clients("admin"), draft, "reject", comment="不好")
    assert late.status_code == 409
    told = late.json()
    assert told["code"] == "wrong_state"
    assert told["draft"]["state"] == "approved"
    assert told["last"]["action"] == "approved"
    assert told["last"]["by"] == "演示合规"
    stale = {**draft, "sha256": "0" * 64}
    other = step(clients("admin"), stale, "withdraw")
    assert (other.status_code, other.json()["code"]) == (409, "changed_meanwhile")


def test_an_edit_is_checked_while_it_is_written(clients: SignedIn) -> None:
    draft = drafted(clients("marketer"), segment="renewing")[-1]

    def check(template: str) -> dict[str, Any]:
        answer = clients("marketer").post(
            f"/v1/drafts/{draft['id']}/check", json={"template": template}
        )
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    fine = check(draft["template"])
    assert (fine["passes"], fine["sample"]) == (True, draft["sample"])
    bad = check("{coupon}，零门槛，秒到账！")
    assert not bad["passes"]
    found = [f for f in bad["findings"] if "零门槛" in f["text"] or "秒到账" in f["text"]]
    assert found
    for each in bad["findings"]:
        if each["text"] and each["where"] == "text":
            first, end = each["span"]
            assert bad["sample"][first:end] == each["text"]
    unknown = check("用{discountt}")
    assert (unknown["passes"], unknown["error_at"]) == (False, 1)
    figure = check("{coupon}，只要3%")
    assert figure["error"]
    assert (unknown["error_code"], figure["error_code"]) == ("slot", "figure")
    still = clients("marketer").get(f"/v1/drafts/{draft['id']}").json()
    assert still["version"] == 1
    for template, code in (("用{no_such}", "bad_template"), ("{coupon}三折", "bad_template")):
        answer = clients("marketer").patch(
            f"/v1/drafts/{draft['id']}", json={"template": template, "seen": draft["sha256"]}
        )
        assert (answer.status_code, answer.json()["code"]) == (422, code)


def test_a_changed_campaign_ends_what_was_approved_for_it(
    server: Server, clients: SignedIn
) -> None:
    draft = waiting(clients)
    held = step(clients("compliance"), draft, "approve").json()
    assert held["may_send"]
    lender = server.deps.settings.lender
    assert lender is not None
    file = lender.parent / "campaigns" / f"{SPRING}.toml"
    before = file.read_text("utf-8")
    try:
        file.write_text(before.replace("holdout = 0.05", "holdout = 0.06"), "utf-8")
        after = clients("auditor").get(f"/v1/drafts/{draft['id']}").json()
        assert (after["may_send"], after["lapsed"]) == (False, "campaign_changed")
        sheet = clients("auditor").get(f"/v1/drafts/{draft['id']}/sheet").text
        assert page_words("decision", "zh-Hans")["lapsed"]["campaign_changed"] in sheet
        file.write_text("id = 3\n", "utf-8")
        broken = clients("auditor").get("/v1/campaigns")
        assert (broken.status_code, broken.json()["code"]) == (503, "campaigns_unreadable")
        assert f"{SPRING}.toml" in broken.json()["problems"][0]
    finally:
        file.write_text(before, "utf-8")
    assert clients("auditor").get(f"/v1/drafts/{draft['id']}").json()["may_send"]


def test_the_decision_sheet_is_a_page_of_its_own(clients: SignedIn) -> None:
    draft = waiting(clients, segment="renewing")
    held = step(clients("compliance"), draft, "approve", comment="<b>可以</b>").json()
    for locale in ("zh-Hans", "zh-Hant", "en"):
        answer = clients("auditor").get(
            f"/v1/drafts/{draft['id']}/sheet", params={"locale": locale}
        )
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/html")
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        text = answer.text
        assert "<script" not in text
        assert "http://" not in text.replace("http-equiv", "")
        assert "<b>可以</b>" not in text, "what people wrote is text"
        assert "&lt;b&gt;可以" in text
        for shown in (held["sha256"], held["campaign_version"], held["rules_version"], "演示合规"):
            assert shown in text
        assert held["calculation"]["saving_cny"] in text
        assert page_words("decision", locale)["stands"] in text


def test_the_sheet_has_words_for_whatever_may_be_so() -> None:
    from typing import get_args

    for locale in ("zh-Hans", "zh-Hant", "en"):
        words = page_words("decision", locale)
        assert set(words["states"]) == set(drafts.STATES)
        assert set(words["actions"]) == set(drafts.ACTIONS)
        reasons = {word for part in get_args(drafts.Unfit) for word in get_args(part)}
        assert set(words["lapsed"]) >= reasons
        assert set(words) == set(page_words("decision", "en"))


# Jobs


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"campaign": "no-such"}, 404),
        ({"channels": []}, 422),
        ({"channels": ["fax"]}, 422),
        ({"segment": "no-such"}, 422),
        ({"segment": "own-" + "0" * 32}, 422),
        ({"ideas": ["no-such"]}, 422),
        ({"customer": "nobody"}, 422),
        ({"variants": 9}, 422),
        ({"campaign": "autumn-2026"}, 422),
        ({"surprise": 1}, 422),
    ],
)
def test_a_brief_that_cannot_be_is_refused_at_once(
    clients: SignedIn, body: dict[str, Any], status: int
) -> None:
    asked = {"campaign": SPRING, "channels": ["sms"], **body}
    answer = clients("marketer").post("/v1/offers", json=asked)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_for_one_customer_it_is_told_why_they_may_not_be_addressed(
    server: Server, clients: SignedIn
) -> None:
    people = clients("marketer").get("/v1/demo/customers").json()["customers"]
    asked = clients("marketer").post(
        "/v1/offers",
        json={"campaign": SPRING, "channels": ["sms"], "customer": people[0]["id"]},
    )
    assert asked.status_code == 202
    job = asked.json()
    while job["state"] in ("queued", "running"):
        time.sleep(0.02)
        job = clients("marketer").get(f"/v1/offers/jobs/{job['id']}").json()
    assert job["state"] == "done"
    assert job["refusals"] or job["drafts"]
    assert all(each["title"] for each in job["refusals"])


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[Deps]:
    """A home of its own, without any knowledge."""
    async with open_deps(settings_for(tmp_path / "home")) as opened:
        yield opened


async def test_a_job_that_its_server_left_is_called_lost(own: Deps) -> None:
    job = await offer_jobs.add_job(
        own.engine, Wanted("lantern-2027", channels=("sms",)), by=await somebody(own)
    )
    await offer_jobs._keep(own.engine, replace(job, state="running"))
    worker = Worker(own)
    running = asyncio.create_task(worker.run())
    try:
        for _ in range(500):
            found = await offer_jobs.read_job(own.engine, job.id)
            assert found is not None
            if found.state == "lost":
                break
            await asyncio.sleep(0.01)
        assert found.state == "lost"
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_only_so_many_wait(own: Deps) -> None:
    wanted = Wanted("lantern-2027", channels=("sms",))
    accounts = [await somebody(own, f"marketer-{n}") for n in range(4)]
    for by in accounts[:2]:
        for _ in range(MOST_OF_ONE):
            await offer_jobs.add_job(own.engine, wanted, by=by)
        with pytest.raises(offer_jobs.TooManyJobs):
            await offer_jobs.add_job(own.engine, wanted, by=by)
    for _ in range(MOST_WAITING - 2 * MOST_OF_ONE):
        await offer_jobs.add_job(own.engine, wanted, by=accounts[2])
    with pytest.raises(offer_jobs.TooManyJobs):
        await offer_jobs.add_job(own.engine, wanted, by=accounts[3])


async def test_whom_a_job_was_for_is_forgotten_when_it_ends(own: Deps) -> None:
    wanted = Wanted("lantern-2027", channels=("sms",), customer="C-4711")
    job = await offer_jobs.add_job(own.engine, wanted, by=await somebody(own))
    for state, kept in (("running", "C-4711"), ("failed", "")):
        await offer_jobs._keep(own.engine, replace(job, state=state))
        found = await offer_jobs.read_job(own.engine, job.id)
        assert found is not None
        assert found.wanted.customer == kept


async def test_what_does_not_hold_any_more_is_voided_when_a_server_starts(own: Deps) -> None:
    by = await somebody(own)
    content = replace(content_of(own.campaigns()[SPRING]), rules_version="of last year")
    draft = await drafts.create(own.trail, content, PASSES, by=by)
    now = drafts.Now(
        today(), "of last year", content.campaign_version, today(), today(), same_offer=True
    )
    sent = await drafts.submit(own.trail, draft.id, by=by, seen=draft.sha256, now=now)
    assert isinstance(sent, drafts.Draft)
    running = asyncio.create_task(Worker(own).run())
    try:
        for _ in range(500):
            found = await drafts.read_draft(own.engine, draft.id)
            assert found is not None
            if found.state == "void":
                break
            await asyncio.sleep(0.01)
        assert found.state == "void"
        last = (await drafts.history(own.trail, draft.id))[-1]
        assert (last.action, last.reason) == ("voided", "rules_changed")
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def somebody(deps: Deps, login: str = "marketer") -> str:
    account = await create_account(deps.trail, login, "测试", ["marketer"], "a quiet morning 7")
    return account.id


# Who may


@pytest.mark.parametrize("role", ["", "agent", "supervisor", "auditor", "compliance", "marketer"])
def test_each_step_is_open_to_its_roles_alone(clients: SignedIn, role: str) -> None:
    nothing = "0" * 32
    body = {"seen": "0" * 64, "comment": "x"}
    doors = {
        "marketer": ("submit",),
        "compliance": ("approve", "reject"),
    }
    for name in ("submit", "approve", "reject"):
        answer = clients(role).post(f"/v1/drafts/{nothing}/{name}", json=body)
        expected = 404 if name in doors.get(role, ()) else 403 if role else 401
        assert answer.status_code == expected, (role, name, answer.text)


def test_a_borrowers_token_opens_nothing(clients: SignedIn, server: Server) -> None:
    with server.client() as client:
        people = client.get("/v1/demo/customers").json()["customers"]
        made = client.post("/v1/demo/tokens", json={"customer_id": people[0]["id"]}).json()
        client.headers["Authorization"] = f"Bearer {made['token']}"
        for path in ("/v1/campaigns", "/v1/drafts", "/v1/segments"):
            assert client.get(path).status_code == 401
        assert client.post("/v1/offers", json={}).status_code == 401


def test_answers_are_as_described(clients: SignedIn) -> None:
    described = clients("").get("/openapi.json").json()

    def holds(answer: httpx.Response, method: str, path: str) -> None:
        said = described["paths"][path][method]["responses"][str(answer.status_code)]
        schema = said["content"]["application/json"]["schema"]
        whole = {**schema, "components": described["components"]}
        jsonschema.Draft202012Validator(whole).validate(answer.json())

    client = clients("marketer")
    holds(client.get("/v1/campaigns"), "get", "/v1/campaigns")
    holds(client.get(f"/v1/campaigns/{SPRING}"), "get", "/v1/campaigns/{campaign_id}")
    holds(client.get("/v1/segments"), "get", "/v1/segments")
    draft = drafted(client)[0]
    holds(client.get("/v1/drafts"), "get", "/v1/drafts")
    holds(client.get(f"/v1/drafts/{draft['id']}"), "get", "/v1/drafts/{draft_id}")


# Results


def test_results_are_imported_with_intervals(clients: SignedIn, server: Server) -> None:
    path = f"/v1/campaigns/{SPRING}/results"
    client = clients("marketer")
    assert client.get(path).json()["variants"] == []
    text = "variant,n,converted\nsave,70,56\nholdout,80,48\nplan,0,0\n"
    answer = client.post(path, json={"csv": text})
    assert answer.status_code == 200, answer.text
    told = clients("auditor").get(path).json()
    assert told == answer.json()
    assert [v["variant"] for v in told["variants"]] == ["plan", "save", "holdout"]
    plan, save, holdout = told["variants"]
    assert (plan["share"], plan["difference"]) == (None, None)
    assert save["difference"]["value"] == pytest.approx(0.2)
    assert save["beyond_chance"]
    assert (holdout["difference"], told["holdout"]) == (None, "holdout")
    assert told["imported_by"] == "演示营销"
    again = client.post(path, json={"csv": "customer,variant,converted\na,save,1\nb,holdout,0\n"})
    assert [(v["variant"], v["n"]) for v in again.json()["variants"]] == [
        ("save", 1),
        ("holdout", 1),
    ]
    assert client.post(path, json={"csv": "a,b\n1,2\n"}).status_code == 422
    assert clients("compliance").post(path, json={"csv": text}).status_code == 403


def test_a_large_file_of_results_is_sent_as_it_is(clients: SignedIn, server: Server) -> None:
    path = f"/v1/campaigns/{SPRING}/results"
    client = clients("marketer")
    rows = "".join(f"customer-{n:08d},save,{n % 2}\n" for n in range(100_000))
    sent = {"Content-Type": "text/csv; charset=utf-8"}
    text = f"customer,variant,converted\n{rows}"
    answer = client.post(path, content=text.encode(), headers=sent)
    assert answer.status_code == 200, answer.text
    assert [(v["n"], v["converted"]) for v in answer.json()["variants"]] == [(100_000, 50_000)]
    assert client.post(path, json={"csv": text}).status_code == 413
    assert client.post(path, content=b"x" * (17 << 20), headers=sent).status_code == 413
    assert client.post(path, content=b"\xff", headers=sent).status_code == 422
    assert client.post("/v1/segments", content=b"x" * (1 << 20), headers=sent).status_code == 413
    refused = client.post(path, json={"csv": 4711, "more": "x"})
    assert refused.status_code == 422
    assert "4711" not in refused.text


# Suppressions


def test_a_customer_is_put_on_the_list_and_never_named(clients: SignedIn, server: Server) -> None:
    path, body = "/v1/suppressions", {"customer": "C-4711", "channel": "sms"}
    for role in ("marketer", "agent", "auditor"):
        assert clients(role).post(path, json=body).status_code == 403
        assert clients(role).request("DELETE", path, json=body).status_code == 403
    assert clients("").post(path, json=body).status_code == 401
    for role in ("compliance", "supervisor"):
        put = clients(role).post(path, json={**body, "reason": "complaint"})
        assert put.json() == {"channel": "sms", "suppressed": True, "changed": True}
        off = clients(role).request("DELETE", path, json=body)
        assert off.json() == {"channel": "sms", "suppressed": False, "changed": True}
        again = clients(role).request("DELETE", path, json=body)
        assert not again.json()["changed"]
    for wrong in (
        {**body, "customer": "C 4711"},
        {**body, "customer": "C-4711" * 40},
        {**body, "channel": "fax"},
        {**body, "reason": "Herr C-4711"},
        {**body, "more": 1},
    ):
        refused = clients("compliance").post(path, json=wrong)
        assert refused.status_code == 422
        assert "4711" not in refused.text


def test_intervals_are_those_of_the_literature() -> None:
    # Newcombe 1998, tables I and II: 81 of 263 by Wilson's method; 56/70 and 48/80 by method 10.
    share = wilson(81, 263)
    assert (share.low, share.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    none = wilson(0, 20)
    assert (none.low, none.high) == pytest.approx((0, 0.1611), abs=5e-5)
    cases = {
        (56, 70, 48, 80): (0.0524, 0.3339),
        (9, 10, 3, 10): (0.1705, 0.8090),
        (10, 10, 0, 10): (0.6075, 1.0),
        (0, 10, 0, 10): (-0.2775, 0.2775),
    }
    for (a, m, b, n), (low, high) in cases.items():
        found = newcombe(Outcome("a", m, a), Outcome("b", n, b))
        assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1"),
        ("variant,n\na,1\n", "line 1"),
        ("variant,n,converted\n", "line 2"),
        ("variant,n,converted\na,1\n", "line 2"),
        ("variant,n,converted\na,1,2\n", "line 2: converted"),
        ("variant,n,converted\na,x,0\n", "line 2: n"),
        ("variant,n,converted\na,-1,0\n", "line 2: n"),
        ("variant,n,converted\na,²,0\n", "line 2: n"),
        ("variant,n,converted\na,1,0\na,1,0\n", "line 3: variant"),
        ("variant,n,converted\n,1,0\n", "line 2: variant"),
        ("customer,variant,converted\nc1,a,1\nc1,a,0\n", "line 3: customer"),
        ("customer,variant,converted\n,a,1\n", "line 2: customer"),
        ("customer,variant,converted\nc1,a,maybe\n", "line 2: converted"),
        ('variant,n,converted\n"a,1,0\n', "line"),
        ("variant,n,converted\n" + "".join(f"v{n},1,0\n" for n in range(201)), "200 variants"),
    ],
)
def test_a_file_of_results_that_cannot_be_read_says_where(text: str, said: str) -> None:
    with pytest.raises(BadResults, match=said) as told:
        read_csv(text)
    assert "c1" not in str(told.value), "a customer's id would stand in a log"


def test_columns_may_stand_in_any_order_after_a_mark() -> None:
    read = read_csv("\ufeffConverted, variant ,N\r\n3,a,10\r\n\r\n1,holdout,9\r\n")
    assert read == (Outcome("a", 10, 3), Outcome("holdout", 9, 1))


def test_json_of_a_condition_is_read_again(clients: SignedIn) -> None:
    conditions = [
        {"attribute": "debt_share", "op": "at_most", "value": "0.35"},
        {"attribute": "coupons_held", "op": "not_in", "value": ["rate", "voucher"]},
    ]
    saved = clients("marketer").post(
        "/v1/segments", json={"title": "轻负债", "conditions": conditions}
    )
    assert saved.status_code == 200, saved.text
    assert saved.json()["conditions"] == json.loads(json.dumps(conditions))
