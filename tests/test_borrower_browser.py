"""The demo page as three people, one after another: signing in, a token that runs out, leaving."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Response, expect

from .conftest import wait_until_ready

QUESTION = "提前还款要收违约金吗？"


@pytest.fixture(scope="module")
def demo_url(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of `zhunxin serve --demo`, quoting, as another process."""
    log = tmp_path_factory.mktemp("demo") / "stderr"
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", str(log.parent)),
        "ZHUNXIN_HOME": str(sample_home),
        "ZHUNXIN_LLM": "extractive",
    }
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [sys.executable, "-m", "assistant", "serve", "--demo", "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environ,
        ) as server,
    ):
        try:
            assert server.stdout is not None
            address = re.search(r"http://[\d.]+:\d+", server.stdout.readline())
            assert address, log.read_text()
            wait_until_ready(address.group(), model=False)
            yield address.group()
        finally:
            server.terminate()
            server.wait(20)


def ask(page: Page, answers: list[Response], at_last: int) -> Response:
    """Ask, and wait for an answer; the last of so many responses to the chat route by now."""
    page.locator("zhunxin-chat textarea").fill(QUESTION)
    page.keyboard.press("Enter")
    expect(page.locator("zhunxin-chat .turn").last).to_contain_text("记录号", timeout=60_000)
    expect(page.locator("zhunxin-chat button[type=button].send")).to_be_hidden(timeout=60_000)
    assert len(answers) == at_last
    return answers[-1]


def choose(page: Page, label: str) -> None:
    page.locator("#who").select_option(label=label)


def conversation(page: Page) -> str | None:
    found: str | None = page.evaluate(
        "Object.entries(sessionStorage).find(([k]) => k.startsWith('zhunxin:'))?.[1] ?? null"
    )
    return found


@pytest.mark.browser
def test_one_signs_in_goes_on_with_a_new_token_and_leaves_nothing_to_the_next(
    browser: Browser, demo_url: str
) -> None:
    page = browser.new_context(viewport={"width": 1366, "height": 768}).new_page()
    answers: list[Response] = []
    page.on("response", lambda r: answers.append(r) if r.url.endswith("/v1/chat") else None)
    page.goto(demo_url)
    labels = page.locator("#who option").all_inner_texts
    expect(page.locator("#who option")).to_have_count(13)
    due_tomorrow = next(label for label in labels() if label.startswith("明天是还款日"))
    settled = next(label for label in labels() if label.startswith("已经结清"))
    page.locator("zhunxin-chat .panel").wait_for(state="attached")

    choose(page, due_tomorrow)
    name = page.locator(".who output")
    expect(name).to_have_text(re.compile(r"^\S\*+$"))
    assert ask(page, answers, 1).status == 200
    begun = conversation(page)
    assert begun

    # What the widget holds now is as good as run out: of the same person, and not taken.
    sub = page.locator("#who").input_value()
    claims = base64.urlsafe_b64encode(json.dumps({"sub": sub}).encode()).decode().rstrip("=")
    page.locator("zhunxin-chat").evaluate(
        "(chat, token) => chat.setAttribute('token', token)", f"e30.{claims}.x"
    )
    assert ask(page, answers, 3).status == 200
    assert [answer.status for answer in answers] == [200, 401, 200]
    assert conversation(page) == begun
    expect(page.locator("zhunxin-chat .turn")).to_have_count(2)

    choose(page, settled)
    expect(page.locator("zhunxin-chat .turn")).to_have_count(0)
    assert conversation(page) is None
    expect(name).not_to_be_empty()
    ask(page, answers, 4)
    assert conversation(page) not in (None, begun)

    page.locator("#who").select_option("")
    expect(page.locator("zhunxin-chat .turn")).to_have_count(0)
    expect(name).to_be_empty()
    assert "token" not in page.locator("zhunxin-chat").evaluate("chat => chat.getAttributeNames()")
    # The next on this machine has the id of the conversation, and no more than that.
    page.evaluate(
        "id => sessionStorage.setItem('zhunxin:conversation:' + location.origin + '/v1/chat', id)",
        begun,
    )
    page.reload()
    page.locator("zhunxin-chat .panel").wait_for(state="attached")
    ask(page, answers, 6)
    assert [answer.status for answer in answers[4:]] == [404, 200]
    page.context.close()
