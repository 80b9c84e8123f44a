"""A real browser for the tests of the pages."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.find_browser import find_browser

SWITCHES = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


# One per module, not per session: playwright's own loop runs for as long as it is open, and a
# test that is a coroutine cannot start another beside it.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium as installed on the machine."""
    found = find_browser()
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("not run: no Chrome or Chromium; `make browser` installs one")
        pytest.skip("not run: no Chrome or Chromium; `make browser` installs one")
    # On a busy machine what is on its way takes longer than the five seconds that are usual.
    expect.set_options(timeout=15_000)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=list(SWITCHES))
        yield chromium
        chromium.close()
