"""Runs migrations against the address that assistant.db passes in."""

from __future__ import annotations

import asyncio
from typing import Any

from alembic import context

from assistant import db
from knowledge import store


def run(connection: Any) -> None:
    context.configure(connection=connection, target_metadata=[store.metadata, db.metadata])
    with context.begin_transaction():
        context.run_migrations()


async def run_async() -> None:
    engine = db.open_engine(context.config.attributes["url"])
    async with engine.begin() as connection:
        await connection.run_sync(run)
    await engine.dispose()


asyncio.run(run_async())
