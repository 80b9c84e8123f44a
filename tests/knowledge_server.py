"""A server of the staff side over a copy of the sample lender, which tests may change."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal

from assistant.api.app import create_app
from assistant.api.chat import KEEP_ALIVE_S
from assistant.deps import Deps, open_deps
from tests.conftest import settings_for
from tests.test_api import listening

MANY = {
    "ZHUNXIN_REQUESTS_PER_MINUTE": "10000",
    # What is tested here is not how soon, and four processes share two cores.
    "ZHUNXIN_CUSTOMERS_TIMEOUT_S": "30",
}


@dataclass(frozen=True)
class Server:
    url: str
    home: Path
    deps: Deps
    portal: BlockingPortal

    @contextmanager
    def beside(
        self, *, settings: Mapping[str, str] | None = None, **parts: Any
    ) -> Iterator[Server]:
        """Another server over the same parts but for some, with other settings of its own."""
        wanted = settings_for(self.home, **(MANY | dict(settings or {})))
        deps = replace(self.deps, settings=wanted, **parts)
        app = create_app(wanted, deps, demo=True)
        with self.portal.wrap_async_context_manager(listening(app)) as url:
            yield Server(url, self.home, deps, self.portal)

    @contextmanager
    def client(self, role: str = "") -> Iterator[httpx.Client]:
        """A client signed in with the demo account of a role, or with none."""
        with httpx.Client(base_url=self.url, timeout=60, trust_env=False) as client:
            if role:
                password = client.get("/v1/staff/demo").json()["password"]
                account = {"login": f"demo-{role}", "password": password, "token": True}
                answer = client.post("/v1/staff/session", json=account)
                assert answer.status_code == 200, answer.text
                client.headers["Authorization"] = f"Bearer {answer.json()['token']}"
            yield client


@contextmanager
def serving(home: Path, *, keep_alive_s: float = KEEP_ALIVE_S, **settings: str) -> Iterator[Server]:
    """Serve a home folder, with demo accounts and the worker of uploads, in another thread."""
    wanted = settings_for(home, **(MANY | settings))
    with ExitStack() as stack:
        portal = stack.enter_context(start_blocking_portal())
        deps = stack.enter_context(portal.wrap_async_context_manager(open_deps(wanted)))
        app = create_app(wanted, deps, demo=True, keep_alive_s=keep_alive_s)
        url = stack.enter_context(portal.wrap_async_context_manager(listening(app)))
        yield Server(url, home, deps, portal)


def copy_of(home: Path, folder: Path) -> Path:
    """A home folder of its own with what another one holds."""
    shutil.copytree(home, folder, ignore=shutil.ignore_patterns("uploads", "*.lock"))
    return folder
