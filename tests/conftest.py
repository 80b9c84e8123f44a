"""Fixtures: the sample lender ingested once, and a real server over it."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import settings
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy.engine import URL, make_url
from xdist.scheduler.loadscope import LoadScopeScheduling

from assistant import db, staff
from assistant.config import Settings, load_settings
from assistant.deps import Deps, open_deps
from assistant.logs import log_to_stderr
from knowledge import embed
from knowledge.computed import SAMPLE
from knowledge.release import build
from knowledge.retrieve import Index

pytest_plugins = ["tests.browser"]

# Beside three other processes any example may take longer than usual; nothing is timed here.
settings.register_profile("beside others", deadline=None)
settings.load_profile("beside others")

log_to_stderr()
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As a shell starts what runs in the background, and as what the tests start would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parent.parent
CORPUS = Path(__file__).parent.parent / "knowledge" / "corpus"


@cache
def asking(file: str) -> frozenset[str] | None:
    """The tests of a file that ask the local model, None for all of them: it, or the server that
    has it, is named by a test's marks and arguments, or by a fixture of the file."""
    text = (ROOT / file).read_text(encoding="utf-8")
    if "def server_url(" in text:  # another server
        return frozenset()
    fixtures = re.findall(r"@pytest\.fixture.*\n(?:async )?def \w+\(([^)]*)\)", text)
    if re.search(r"pytestmark = .*mark\.model", text):
        return None
    if any("server_url" in arguments for arguments in fixtures):
        return None
    tests = re.findall(
        r"((?:^[@ )].*\n)*)^(?:async )?def (test_\w+)\(([^)]*)\)", text, re.MULTILINE
    )
    return frozenset(
        name
        for marks, name, arguments in tests
        if "mark.model" in marks or "server_url" in arguments
    )


class Scheduler(LoadScopeScheduling):  # type: ignore[misc]
    """Where tests run in several processes, a file stays in one; tests that ask the local model are
    all in the same: two models at once on two cores take many times as long."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)


LONGEST = ("model", "tests/test_eval_gate.py", "tests/test_audit.py", "tests/test_ingest.py")
"""What is begun first, so that no process works on alone when the others are done."""


def scope_of(nodeid: str) -> str:
    file, _, name = nodeid.partition("::")
    named = asking(file)
    return "model" if named is None or name.partition("[")[0] in named else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return Scheduler(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {scope: number for number, scope in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(scope_of(item.nodeid), len(LONGEST)))


def pytest_collection_finish() -> None:
    """What is loaded by now stays: it is not looked through for garbage again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


@pytest.fixture(scope="session", autouse=True)
def migrated_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """In this process new databases are copies of one that the migrations have made."""
    template = tmp_path_factory.mktemp("migrated") / "template.db"
    upgrade = db._upgrade
    upgrade(make_url(f"sqlite+aiosqlite:///{template}"))

    def copied(url: URL) -> None:
        file = Path(url.database or "")
        if url.get_backend_name() != "sqlite":
            upgrade(url)
            return
        with FileLock(f"{file}.migrating"):
            new = not file.exists() or not file.stat().st_size
            if new:
                shutil.copyfile(template, file)
        if not new:
            upgrade(url)

    db._upgrade = copied
    yield
    db._upgrade = upgrade


@pytest.fixture(scope="session", autouse=True)
def embedder_loaded_once() -> Iterator[None]:
    """In this process the local embeddings are loaded once, and keep what they were asked: each
    release asks the same sixteen questions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embed, "LocalEmbedder", cache(embed.LocalEmbedder))
        yield


SHIPPED_HASHER = staff._hasher


@pytest.fixture(scope="session", autouse=True)
def cheap_hashes() -> Iterator[None]:
    """Passwords cost a thousandth of what they do; a test holds the shipped cost."""
    hasher = PasswordHash((Argon2Hasher(time_cost=1, memory_cost=64, parallelism=1),))
    decoy = hasher.hash("decoy")
    staff._hasher = lambda: (hasher, decoy)
    yield
    staff._hasher = SHIPPED_HASHER


ONE_THREAD = {"ZHUNXIN_THREADS": "1"} if "PYTEST_XDIST_WORKER" in os.environ else {}
"""Where tests run in several processes, threads of one model would wait for each other."""


def settings_for(home: Path, **more: str) -> Settings:
    """Settings of a home folder, with nothing from this machine's environment."""
    environ = {"ZHUNXIN_HOME": str(home), "ZHUNXIN_LLM": "extractive", **ONE_THREAD} | more
    return load_settings(environ, home / "no-such-file.toml")


@pytest.fixture(scope="session")
def sample_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder in which the sample lender is live.

    ZHUNXIN_TEST_HOME names a folder to keep it in between runs; unchanged documents are then not
    read again. Where tests run in several processes, one of them builds it and each has a copy.
    """
    kept = os.environ.get("ZHUNXIN_TEST_HOME")
    if "PYTEST_XDIST_WORKER" not in os.environ:
        home = Path(kept) if kept else tmp_path_factory.mktemp("sample")
        ingest_sample(home)
        return home
    shared = Path(kept) if kept else tmp_path_factory.getbasetemp().parent / "sample"
    home = tmp_path_factory.mktemp("sample")
    with FileLock(f"{shared}.lock"):
        built = shared / f"built-{os.environ['PYTEST_XDIST_TESTRUNUID']}"
        if not built.exists():
            ingest_sample(shared)
            built.touch()
        shutil.copytree(shared, home, dirs_exist_ok=True)
    return home


def ingest_sample(home: Path) -> None:
    """Make the sample lender live in a home folder."""

    async def ingest() -> None:
        async with open_deps(settings_for(home)) as deps:
            await build(
                deps.engine,
                deps.vector_store,
                await deps.embedder(),
                [CORPUS / "lender", CORPUS / "regulations"],
                lock_file=home / "ingest.lock",
                replace_all=True,
                computed=SAMPLE,
            )

    asyncio.run(ingest())


@pytest.fixture(scope="session")
def sample_index(sample_home: Path) -> Index:
    """The sample lender loaded for searching, once in a process: nothing is written in it."""

    async def load() -> Index:
        async with open_deps(settings_for(sample_home)) as opened:
            return await opened.index()

    return asyncio.run(load())


@pytest.fixture
async def deps(sample_home: Path, sample_index: Index) -> AsyncIterator[Deps]:
    """The pipeline's parts over the sample lender, quoting; `use_model` gives it a model."""
    async with open_deps(settings_for(sample_home)) as opened:
        opened._index = sample_index
        yield opened


@pytest.fixture(scope="session")
def server_url(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of `zhunxin serve` with the local model, as another process."""
    # What is said counts here, not how soon: other tests run at the same time.
    model = {"ZHUNXIN_LLM": "local", "ZHUNXIN_LLM_TIMEOUT_S": "300"}
    with serving(sample_home, tmp_path_factory.mktemp("server"), model) as address:
        yield address


@pytest.fixture(scope="session")
def quoting_url(sample_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The same without a model, for what is alike with one."""
    folder = tmp_path_factory.mktemp("quoting")
    with serving(sample_home, folder, {"ZHUNXIN_LLM": "extractive"}) as address:
        yield address


@contextmanager
def serving(home: Path, folder: Path, more: Mapping[str, str]) -> Iterator[str]:
    with served(home, folder, more) as (address, _):
        yield address


@contextmanager
def served(
    home: Path, folder: Path, more: Mapping[str, str]
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Address and process of `zhunxin serve` over a home folder."""
    log = folder / "stderr"
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", str(folder)),
        "ZHUNXIN_HOME": str(home),
        "ZHUNXIN_REQUESTS_PER_MINUTE": "10000",
        **ONE_THREAD,
        **more,
    }
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [sys.executable, "-m", "assistant", "serve", "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environ,
        ) as server,
    ):
        try:
            assert server.stdout is not None
            said = server.stdout.readline()
            address = re.search(r"http://[\d.]+:\d+", said)
            assert address, f"the server did not start: {said!r} {log.read_text()}"
            wait_until_ready(address.group(), model=more["ZHUNXIN_LLM"] == "local")
            yield address.group(), server
        finally:
            server.terminate()
            server.wait(20)


def wait_until_ready(address: str, model: bool = True) -> None:
    """Until knowledge is loaded and, if asked for, the model runs: assembling it takes a while."""
    deadline = time.monotonic() + 300
    body = b""
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{address}/readyz", timeout=10) as answer:
                body = answer.read()
            if not model or b'"model":"ready"' in body.replace(b" ", b""):
                return
        except OSError as error:
            body = str(error).encode()
        time.sleep(0.3)
    raise AssertionError(f"not ready: {body!r}")
