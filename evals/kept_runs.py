"""Runs kept in a folder, one a folder, for looking at: found by name, the newest first."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from .records import CASES, INFO, BadRun, read_info
from .report import Run, as_json, read_run

RUN_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.-]{0,63}")
"""No separator, and no leading dot: a name never leads out of the folder."""
HELD_AT_ONCE = 8
"""Runs kept in memory; one has a few megabytes."""
SUMMARIES = 256
"""Accounts of runs kept in memory, a few kilobytes each."""


class UnknownRun(Exception):
    """No run of this name is kept."""


def list_runs(root: Path) -> list[str]:
    """Names of the runs under a folder, the one that was started last first, and those that cannot
    be read last; none where there is no such folder."""
    try:
        folders = [path for path in root.iterdir() if _is_run(path)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [path.name for path in sorted(folders, key=_started, reverse=True)]


def open_run(root: Path, name: str) -> Run:
    """Raises UnknownRun, BadRun."""
    return _read(*_found(root, name))


def summarise(root: Path, name: str) -> Mapping[str, Any]:
    """A run as JSON, without its topics and cases. Raises UnknownRun, BadRun."""
    return _summary(*_found(root, name))


def describe(error: BadRun) -> str:
    """What is wrong with a run, without the way to its folder."""
    return re.sub(r"^\S*[\\/](?=[^\\/\s]+[:\s])", "", str(error))


@lru_cache(SUMMARIES)
def _summary(folder: Path, stamp: tuple[int, ...]) -> Mapping[str, Any]:
    whole = as_json(read_run(folder))
    left_out = ("topics", "difficulties", "wrong")
    suites = [{k: v for k, v in suite.items() if k not in left_out} for suite in whole["suites"]]
    return {**whole, "suites": suites}


@lru_cache(HELD_AT_ONCE)
def _read(folder: Path, stamp: tuple[int, ...]) -> Run:
    return read_run(folder)


def _found(root: Path, name: str) -> tuple[Path, tuple[int, ...]]:
    folder = root / name
    if not RUN_NAME.fullmatch(name) or not _is_run(folder):
        raise UnknownRun(name)
    return folder, _stamp(folder)


def _is_run(path: Path) -> bool:
    """Links are left out: they may lead anywhere."""
    return (
        RUN_NAME.fullmatch(path.name) is not None
        and not path.is_symlink()
        and (path / INFO).is_file()
        and not (path / INFO).is_symlink()
        and not (path / CASES).is_symlink()
    )


def _started(folder: Path) -> tuple[str, str]:
    try:
        return read_info(folder).started, folder.name
    except BadRun:
        return "", folder.name


def _stamp(folder: Path) -> tuple[int, ...]:
    stamp: list[int] = []
    for name in (INFO, CASES):
        try:
            held = (folder / name).stat()
        except OSError as error:
            raise BadRun(f"{folder / name}: cannot be read") from error
        stamp += [held.st_mtime_ns, held.st_size]
    return tuple(stamp)
