"""Settings from the environment and zhunxin.toml, and what is said where one is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from assistant.config import ConfigError, load_settings
from assistant.db import DatabaseUnavailable, migrate, open_engine
from assistant.deps import model_specs


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "zhunxin.toml"


def test_defaults_hold_where_nothing_is_set(file: Path) -> None:
    settings = load_settings({}, file)
    assert settings.home == Path(".zhunxin")
    assert settings.embeddings == "local"
    assert settings.database == "sqlite+aiosqlite:///.zhunxin/zhunxin.db"
    assert settings.threads_used >= 1


def test_the_environment_wins_over_the_file(file: Path) -> None:
    file.write_text('llm = "extractive"\nthreads = 3\n', encoding="utf-8")
    settings = load_settings({"ZHUNXIN_LLM": "local"}, file)
    assert (settings.llm, settings.threads) == ("local", 3)


def test_an_empty_variable_counts_as_not_set(file: Path) -> None:
    file.write_text('llm = "extractive"\n', encoding="utf-8")
    assert load_settings({"ZHUNXIN_LLM": " "}, file).llm == "extractive"


def test_a_file_with_a_byte_order_mark_is_read(file: Path) -> None:
    file.write_text("threads = 3\n", encoding="utf-8-sig")
    assert load_settings({}, file).threads == 3


@pytest.mark.parametrize("name", ["home", "cache", "local_model", "lender"])
def test_a_tilde_is_the_users_folder(file: Path, name: str) -> None:
    settings = load_settings({f"ZHUNXIN_{name.upper()}": "~/x"}, file)
    assert getattr(settings, name) == Path.home() / "x"


@pytest.mark.parametrize(
    ("content", "environ", "said"),
    [
        ("threads = [", {}, "not valid TOML"),
        ("thread = 2", {}, "zhunxin.toml: thread: "),
        ('threads = "many"', {}, "zhunxin.toml: threads: "),
        ("", {"ZHUNXIN_THREADS": "many"}, "ZHUNXIN_THREADS: "),
        ("threads = 2", {"ZHUNXIN_THREADS": "-1"}, "ZHUNXIN_THREADS: "),
        ("", {"ZHUNXIN_LLM_TIMEOUT_S": "0"}, "ZHUNXIN_LLM_TIMEOUT_S: "),
        ("", {"ZHUNXIN_LLM_WAY": "both"}, "ZHUNXIN_LLM_WAY: "),
        *[
            ("", {f"ZHUNXIN_{name}": url}, f"ZHUNXIN_{name}: expected an http or https address")
            for name, url in (
                ("LLM_BASE_URL", "http://127.0.0.1:8432:80/v1"),
                ("LLM_BASE_URL", "http://[::1"),
                ("LLM_BASE_URL", "http://准信..cn/v1"),
                ("LLM_BASE_URL", "127.0.0.1:8432/v1"),
                ("EMBEDDINGS_BASE_URL", "http://[::1"),
                ("RERANK_BASE_URL", "http://[::1"),
            )
        ],
        ('llm_base_url = "http://[::1"', {}, "zhunxin.toml: llm_base_url: "),
    ],
)
def test_a_wrong_setting_is_named_with_its_place(
    file: Path, content: str, environ: dict[str, str], said: str
) -> None:
    file.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError) as refusal:
        load_settings(environ, file)
    assert said in str(refusal.value)


def test_keys_are_neither_printed_nor_told_in_errors(file: Path) -> None:
    environ = {"ZHUNXIN_LLM_API_KEY": "sk-very-secret", "ZHUNXIN_EMBEDDINGS_API_KEY": "sk-other"}
    assert "sk-" not in repr(load_settings(environ, file))
    with pytest.raises(ConfigError) as refusal:
        load_settings(environ | {"ZHUNXIN_THREADS": "x"}, file)
    assert "sk-" not in str(refusal.value)


@pytest.mark.parametrize(
    ("llm", "specs"),
    [
        ("extractive", ()),
        ("local", ("local",)),
        ("openai:qwen-plus, local ,extractive", ("openai:qwen-plus", "local")),
    ],
)
def test_a_chain_of_models_is_read_in_order(file: Path, llm: str, specs: tuple[str, ...]) -> None:
    assert model_specs(load_settings({"ZHUNXIN_LLM": llm}, file)) == specs


@pytest.mark.parametrize("llm", ["gpt", "openai:", "openai", "local,gpt"])
def test_an_unknown_model_is_refused(file: Path, llm: str) -> None:
    with pytest.raises(ConfigError, match="ZHUNXIN_LLM"):
        model_specs(load_settings({"ZHUNXIN_LLM": llm}, file))


@pytest.mark.parametrize(
    "address", ["nonsense", "mysql://a:secret@host/x", "sqlite+aiosqlite://", "sqlite:///x.db"]
)
def test_an_address_that_is_no_database_is_refused_without_its_password(address: str) -> None:
    with pytest.raises(DatabaseUnavailable) as refusal:
        open_engine(address)
    assert "ZHUNXIN_DATABASE_URL" in str(refusal.value)
    assert "secret" not in str(refusal.value)


async def test_a_database_that_does_not_answer_is_told_without_its_password() -> None:
    pytest.importorskip("asyncpg")
    engine = open_engine("postgresql://someone:secret@localhost:1/x")
    with pytest.raises(DatabaseUnavailable) as refusal:
        await migrate(engine)
    await engine.dispose()
    assert "localhost:1" in str(refusal.value)
    assert "secret" not in str(refusal.value)


async def test_another_programs_file_is_not_taken_for_a_database(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    path.write_text("not a database " * 500, encoding="utf-8")
    engine = open_engine(f"sqlite+aiosqlite:///{path}")
    with pytest.raises(DatabaseUnavailable):
        await migrate(engine)
    await engine.dispose()
    assert path.read_text(encoding="utf-8").startswith("not a database")


async def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite+aiosqlite:///{tmp_path / 'z.db'}")
    await migrate(engine)
    async with engine.begin() as connection:
        await connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(DatabaseUnavailable, match="another version"):
        await migrate(engine)
    await engine.dispose()
