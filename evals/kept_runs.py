"""Runs kept in a folder, one a folder, for looking at: found by name, the newest first."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from .records import CASES, INFO, BadRun
from .report import Run, read_run

RUN_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.-]{0,63}")
"""No separator, and no leading dot: a name never leads out of the folder."""
HELD_AT_ONCE = 8
"""Runs kept in memory; one has a few megabytes."""


class UnknownRun(Exception):
    """No run of this name is kept."""


def list_runs(root: Path) -> list[str]:
    """Names of the runs under a folder, the one that was written last first; none where there is
    no such folder."""
    try:
        folders = [path for path in root.iterdir() if _is_run(path)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [path.name for path in sorted(folders, key=_written, reverse=True)]


def open_run(root: Path, name: str) -> Run:
    """Raises UnknownRun, BadRun."""
    folder = root / name
    if not RUN_NAME.fullmatch(name) or not _is_run(folder):
        raise UnknownRun(name)
    return _read(folder, _stamp(folder))


def describe(error: BadRun) -> str:
    """What is wrong with a run, without the way to its folder."""
    return re.sub(r"^\S*[\\/](?=[^\\/\s]+[:\s])", "", str(error))


@lru_cache(HELD_AT_ONCE)
def _read(folder: Path, stamp: Sequence[int]) -> Run:
    return read_run(folder)


def _is_run(path: Path) -> bool:
    """Links are left out: they may lead anywhere."""
    return (
        RUN_NAME.fullmatch(path.name) is not None
        and not path.is_symlink()
        and (path / INFO).is_file()
        and not (path / INFO).is_symlink()
        and not (path / CASES).is_symlink()
    )


def _written(folder: Path) -> tuple[float, str]:
    try:
        return (folder / INFO).stat().st_mtime, folder.name
    except OSError:
        return 0.0, folder.name


def _stamp(folder: Path) -> tuple[int, ...]:
    stamp: list[int] = []
    for name in (INFO, CASES):
        try:
            held = (folder / name).stat()
        except OSError as error:
            raise BadRun(f"{folder / name}: cannot be read") from error
        stamp += [held.st_mtime_ns, held.st_size]
    return tuple(stamp)
