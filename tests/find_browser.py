"""Finds a Chromium for the browser tests, or installs one where that is possible."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DEBIAN_PACKAGES = ("chromium", "fonts-wqy-microhei")


def find_browser() -> str | None:
    """Path of an installed Chrome or Chromium, or of the one that playwright installed."""
    on_path = next(filter(None, map(shutil.which, NAMES)), None)
    if on_path:
        return on_path
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).exists() else None


def install_browser() -> None:
    """Debian's package where we are root, else playwright's own download."""
    if shutil.which("apt-get") and os.geteuid() == 0:
        _run(["apt-get", "update", "-q"], 300)
        _run(["apt-get", "install", "-qy", "--no-install-recommends", *DEBIAN_PACKAGES], 900)
    else:
        _run([sys.executable, "-m", "playwright", "install", "chromium"], 300)


def _run(command: list[str], timeout_s: int) -> None:
    try:
        subprocess.run(command, timeout=timeout_s, check=False, stdout=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired) as error:
        sys.stderr.write(f"{' '.join(command)}: {error}\n")


def main() -> None:
    if find_browser() is None:
        sys.stderr.write("no Chrome or Chromium found; installing one for the browser tests\n")
        install_browser()
    found = find_browser()
    if found:
        sys.stderr.write(f"browser tests use {found}\n")
        return
    sys.stderr.write(
        "browser tests: not run (no Chrome or Chromium, and none could be installed)\n"
    )
    if os.environ.get("CI") == "true":
        sys.exit(1)


if __name__ == "__main__":
    main()
