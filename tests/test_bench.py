"""What a person waits for, measured; `make bench` prints the table. ZHUNXIN_BENCH_JSON names a file
that takes the same rows with every single value.

Machines differ and are busy, so each row also says how many times longer it takes than something
measured beside it in the same run.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import count
from pathlib import Path
from typing import Any, Literal

import httpx
import numpy as np
import pytest

from assistant.answer import answer_question, warm_up
from assistant.deps import Deps, open_deps
from assistant.llm import ChatModel, Completion, Message, TextStream, Way, open_chat_model
from assistant.local_model import available, start_local_model
from assistant.models import Question
from knowledge.embed import Embedder, Vectors
from knowledge.release import build
from knowledge.retrieve import Scope, retrieve

from .conftest import CORPUS, settings_for
from .openai_stub import openai_stub, quotes_slowly

pytestmark = pytest.mark.bench

CASES = Path(__file__).parent.parent / "evals" / "cases"
TODAY = date(2026, 11, 23)

COMMAND_BAR_S = 0.3
READY_BAR_S = 5.0
RETRIEVAL_BAR_MS = 20.0
EVIDENCE_BAR_MS = 150.0
MEMORY_BAR_MIB = 1024.0
INGESTION_BAR = 1.2
"""Times what embedding the same texts takes."""

ADDED_BAR_MS = 150.0

STREAMS_FOR_S = float(os.environ.get("ZHUNXIN_BENCH_STREAMS_S", "600"))
STREAM_S = 30.0
"""How long the model takes for the rest of what it writes."""
FIRST_S = 0.5
"""How long it takes for its first sentence."""

Held = Literal["median", "p95", "ratio"]


@dataclass(frozen=True, slots=True)
class Row:
    """One thing measured; `bar` holds for the value that `held` names."""

    what: str
    unit: str
    values: tuple[float, ...]
    bar: float | None = None
    held: Held = "median"
    beside: str = ""
    """What of the same run `ratio` compares with."""
    ratio: float | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def p95(self) -> float:
        return float(np.percentile(self.values, 95))

    @property
    def verdict(self) -> str:
        if self.bar is None:
            return ""
        value = {"median": self.median, "p95": self.p95, "ratio": self.ratio}[self.held]
        return "held" if value is not None and value <= self.bar else "MISSED"

    def cells(self) -> tuple[str, ...]:
        unit = "x" if self.held == "ratio" else f" {self.unit}"
        return (
            self.what,
            f"{_short(self.median)} {self.unit}",
            f"{_short(self.p95)} {self.unit}" if len(self.values) > 1 else "",
            str(len(self.values)),
            "" if self.bar is None else f"{self.held} {_short(self.bar)}{unit}",
            "" if self.ratio is None else f"{self.ratio:.2f}x {self.beside}",
            self.verdict,
        )


@dataclass(slots=True)
class Board:
    rows: list[Row] = field(default_factory=list)

    def add(self, *rows: Row) -> None:
        """Show these rows in the table; fails the test if one misses its bar."""
        self.rows += rows
        if missed := [row.what.strip() for row in rows if row.verdict == "MISSED"]:
            pytest.fail(f"missed its bar: {', '.join(missed)}", pytrace=False)

    def as_text(self) -> str:
        heads = ("what", "median", "p95", "n", "bar", "in the same run", "")
        table = [heads, *(row.cells() for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [
            "  ".join(
                text.rjust(width) if number in (1, 2, 3) else text.ljust(width)
                for number, (text, width) in enumerate(zip(cells, widths, strict=True))
            ).rstrip()
            for cells in table
        ]
        load = f"{os.cpu_count()} processors, {os.getloadavg()[1]:.1f} programs running at a time"
        return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:], "", load])

    def as_json(self) -> str:
        rows = [
            {
                "what": row.what,
                "unit": row.unit,
                "median": row.median,
                "p95": row.p95,
                "n": len(row.values),
                "bar": row.bar,
                "held": row.held if row.bar is not None else None,
                "beside": row.beside,
                "ratio": row.ratio,
                "missed": row.verdict == "MISSED",
                "values": list(row.values),
            }
            for row in self.rows
        ]
        machine = {
            "system": platform.platform(),
            "processors": os.cpu_count(),
            "load_5_minutes": os.getloadavg()[1],
            "python": platform.python_version(),
        }
        return json.dumps({"machine": machine, "rows": rows}, ensure_ascii=False, indent=2)


def _short(value: float) -> str:
    """Three digits that count."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def cases(suite: str) -> list[dict[str, Any]]:
    lines = (CASES / f"{suite}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line.strip()]


def is_answered(case: dict[str, Any]) -> bool:
    return bool(case["expect"]["status"] == "answered")


@pytest.fixture(scope="module")
def board() -> Iterator[Board]:
    """Where measurements are put; printed once all are taken."""
    board = Board()
    yield board
    print(f"\n\n{board.as_text()}\n")
    if file := os.environ.get("ZHUNXIN_BENCH_JSON"):
        Path(file).write_text(board.as_json() + "\n", encoding="utf-8")


@pytest.fixture(scope="module", autouse=True)
def _asked_for(request: pytest.FixtureRequest) -> None:
    """A plain `pytest` measures nothing: other tests would disturb it, and it them."""
    if "bench" not in request.config.getoption("markexpr"):
        pytest.skip("measured by `make bench` only")


def test_a_command_that_needs_nothing_heavy_starts_at_once(board: Board) -> None:
    zhunxin = str(Path(sys.executable).with_name("zhunxin"))
    commands: dict[str, tuple[list[str], str, str]] = {
        "python -c pass": ([sys.executable, "-c", "pass"], "", ""),
        "zhunxin --help": ([zhunxin, "--help"], "", "release"),
        "zhunxin mask": ([zhunxin, "mask"], "我的手机号是13812345678", "我的手机号是"),
    }
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(11):
        # In turn, so that a busy minute of the machine falls on all of them.
        for name, (command, typed, said) in commands.items():
            started = time.perf_counter()
            done = subprocess.run(command, input=typed, capture_output=True, text=True, check=True)
            taken[name].append(time.perf_counter() - started)
            assert said in done.stdout
            assert "13812345678" not in done.stdout
    # The first round fills the file cache and counts for nothing.
    bare, *rows = (Row(name, "s", tuple(values[1:])) for name, values in taken.items())
    board.add(
        bare,
        *(
            replace(row, bar=COMMAND_BAR_S, beside=bare.what, ratio=row.median / bare.median)
            for row in rows
        ),
    )


def test_the_server_is_ready_while_the_model_still_loads(
    board: Board, sample_home: Path, tmp_path: Path
) -> None:
    if not available():
        pytest.skip("the local model is not installed")
    taken: list[float] = []
    bare: list[float] = []
    states: list[str] = []
    for _ in range(3):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        bare.append(time.perf_counter() - started)
        with serving(sample_home, tmp_path / "stderr", llm="local") as server:
            taken.append(server.ready_s)
            states.append(server.said["model"])
    board.add(
        Row(
            "serve: start to /readyz 200",
            "s",
            tuple(taken),
            READY_BAR_S,
            beside="python -c pass",
            ratio=statistics.median(taken) / statistics.median(bare),
        )
    )
    assert "loading" in states, "the model was there first, so nothing was shown"


async def test_retrieval_takes_milliseconds_beside_the_embedding(board: Board, deps: Deps) -> None:
    index, embedder = await deps.index(), await deps.embedder()
    scope = Scope(on=TODAY)
    texts = [case["text"] for name in ("sample_lender", "coverage_dev") for case in cases(name)]
    assert len(texts) >= 200
    for text in texts[:5]:
        retrieve(index, embedder, text, scope, 8)
    found = [retrieve(index, embedder, text, scope, 8) for text in texts]
    embed = [item.embed_ms for item in found]
    parts: dict[str, tuple[float, ...]] = {
        "search less embedding": tuple(item.total_ms - item.embed_ms for item in found),
        "  of it: nearest vectors": tuple(item.dense_ms for item in found),
        "  of it: words in common": tuple(item.lexical_ms for item in found),
        "  of it: fusing": tuple(
            item.total_ms - item.embed_ms - item.dense_ms - item.lexical_ms for item in found
        ),
    }
    embedding = Row("embedding a question", "ms", tuple(embed))
    rows = [
        Row(
            name,
            "ms",
            values,
            RETRIEVAL_BAR_MS if number == 0 else None,
            "p95",
            "embedding a question",
            statistics.median(values) / embedding.median,
        )
        for number, (name, values) in enumerate(parts.items())
    ]
    board.add(embedding, *rows)


@dataclass(frozen=True, slots=True)
class Size:
    """What is asked of search over so many clauses, without the embedding's own time."""

    clauses: int
    search_bar_ms: float
    share_bar_ms: float | None = None
    """A question's share of the time where eight are asked at once: 5 ms are 200 a second."""


@pytest.mark.parametrize(
    "size", [Size(10_000, 20.0, 5.0), Size(100_000, 60.0)], ids=lambda size: str(size.clauses)
)
def test_search_stays_fast_as_knowledge_grows(board: Board, tmp_path: Path, size: Size) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench_search", str(size.clauses), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(done.stdout)
    plain = Row("  Chroma alone, eight nearest", "ms", tuple(told["plain_ms"] or (0.0,)))
    beside = plain.what.strip() if told["plain_ms"] else ""
    searched = [
        Row(
            f"  search: {name}",
            "ms",
            tuple(values),
            size.search_bar_ms,
            "p95",
            beside,
            statistics.median(values) / plain.median if beside else None,
        )
        for name, values in told["searched_ms"].items()
    ]
    board.add(
        Row(f"{told['clauses']:,} clauses: ingesting, vectors given", "s", (told["ingest_s"],)),
        Row("  memory while ingesting", "MiB", (told["ingest_mb"],), MEMORY_BAR_MIB),
        Row("  opening", "s", (told["open_s"],)),
        *([plain] if beside else []),
        *searched,
        Row("  a question of eight at a time", "ms", (1000 / told["per_s"],), size.share_bar_ms),
    )


def test_the_evidence_is_on_screen_before_a_person_looks_up(
    board: Board, sample_home: Path, tmp_path: Path
) -> None:
    asked = 50
    with serving(sample_home, tmp_path / "stderr", llm="extractive") as server:
        answered = (case["text"] for case in cases("sample_lender") if is_answered(case))
        evidence_ms: list[float] = []
        total_ms: list[float] = []
        answers_ms: list[float] = []
        with httpx.Client(base_url=server.address, trust_env=False, timeout=30) as client:
            seen_by_clock(client, next(answered))
            before_mb = resident_mb(server.process.pid)
            while len(evidence_ms) < asked:
                started = time.perf_counter()
                client.get("/healthz").raise_for_status()
                answers_ms.append((time.perf_counter() - started) * 1000)
                seen = seen_by_clock(client, next(answered))
                if "evidence" in seen:
                    evidence_ms.append(seen["evidence"])
                    total_ms.append(seen["done"])
        after_mb = resident_mb(server.process.pid)
    bare = statistics.median(answers_ms)
    shown = Row(
        "chat: send to `evidence`",
        "ms",
        tuple(evidence_ms),
        EVIDENCE_BAR_MS,
        "p95",
        "GET /healthz",
        statistics.median(evidence_ms) / bare,
    )
    board.add(
        Row("GET /healthz", "ms", tuple(answers_ms)),
        shown,
        Row(
            "chat: send to `done`, quoting",
            "ms",
            tuple(total_ms),
            beside="send to `evidence`",
            ratio=statistics.median(total_ms) / shown.median,
        ),
        Row(
            f"server memory after {asked} questions",
            "MB",
            (after_mb,),
            beside="after the first",
            ratio=after_mb / before_mb,
        ),
    )


async def test_ingestion_is_little_more_than_embedding(board: Board, tmp_path: Path) -> None:
    async with open_deps(settings_for(tmp_path / "spare")) as deps:
        embedder = TwiceEmbedder(await deps.embedder())
        embedder.inner.passages(["."] * 4)
    started = time.perf_counter()
    async with open_deps(settings_for(tmp_path / "home")) as deps:
        report = await build(
            deps.engine,
            deps.vector_store,
            embedder,
            [CORPUS / "lender", CORPUS / "regulations"],
            lock_file=tmp_path / "home" / "ingest.lock",
        )
    whole_s = time.perf_counter() - started - embedder.alone_s
    assert report.clauses > 500
    board.add(
        Row(f"embedding {report.clauses} clauses alone", "s", (embedder.alone_s,)),
        Row(
            f"ingesting {report.documents} documents",
            "s",
            (whole_s,),
            INGESTION_BAR,
            "ratio",
            "embedding alone",
            whole_s / embedder.alone_s,
        ),
    )


@pytest.mark.model
async def test_the_local_model_chooses_its_first_sentence(board: Board, sample_home: Path) -> None:
    if not available():
        pytest.skip("the local model is not installed")
    settings = settings_for(sample_home, ZHUNXIN_LLM="local")
    local = start_local_model(settings.cache)
    try:
        model = Recorded(
            open_chat_model(
                f"local:{local.model_name}",
                base_url=local.base_url,
                api_key=local.api_key,
                timeout_s=120,
                retries=0,
            )
        )
        first_ms: list[float] = []
        total_ms: list[float] = []
        evidence_ms: list[float] = []
        async with open_deps(settings) as deps:
            deps.use_model(model)
            await warm_up(model, at_once=2)
            model.calls.clear()
            # Every sixth, so that they are of all topics.
            texts = [case["text"] for case in cases("sample_lender") if is_answered(case)][::6]
            for text in texts:
                if len(first_ms) == 10:
                    break
                started = time.perf_counter()
                seen: dict[str, float] = {}
                async for event in answer_question(Question(text=text, today=TODAY), deps):
                    seen.setdefault(event.name, (time.perf_counter() - started) * 1000)
                if len(model.calls) > len(first_ms):
                    evidence_ms.append(seen["evidence"])
                    first_ms.append(seen["sentence"])
                    total_ms.append(seen["done"])
            calls = list(model.calls)
            speeds = [plain_speeds(local.base_url, local.api_key, c.messages) for c in calls[:3]]
    finally:
        local.close()
    evidence = statistics.median(evidence_ms)
    board.add(
        Row(
            "local model: ask to first sentence",
            "s",
            tuple(ms / 1000 for ms in first_ms),
            beside="ask to evidence",
            ratio=statistics.median(first_ms) / evidence,
        ),
        Row(
            "local model: ask to `done`",
            "s",
            tuple(ms / 1000 for ms in total_ms),
            beside="ask to evidence",
            ratio=statistics.median(total_ms) / evidence,
        ),
        Row("  of it: the model's call", "s", tuple(c.seconds for c in calls)),
        Row("  prompt, kept part included", "tokens", tuple(float(c.read) for c in calls)),
        Row("  answer", "tokens", tuple(float(c.written) for c in calls)),
        Row("  reading, nothing kept", "tokens/s", tuple(s.read for s in speeds)),
        Row("  writing", "tokens/s", tuple(s.written for s in speeds)),
    )


@dataclass(slots=True)
class Streams:
    """What came of questions that are answered at the same time."""

    added_ms: list[float] = field(default_factory=list)
    """Before the first sentence, beyond what the model took for it."""
    dropped: list[str] = field(default_factory=list)
    """The last event of each that did not end well."""
    open: int = 0
    most_open: int = 0

    async def ask(self, client: httpx.AsyncClient, text: str) -> None:
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        asked, first, name = time.perf_counter(), 0.0, ""
        try:
            async with client.stream("POST", "/v1/chat", json={"message": text}) as answer:
                async for line in answer.aiter_lines():
                    if line.startswith("event:"):
                        name = line.removeprefix("event:").strip()
                        if name == "sentence" and not first:
                            first = time.perf_counter()
        except httpx.HTTPError as error:
            name = repr(error)
        self.open -= 1
        if name == "done" and first:
            self.added_ms.append((first - asked - FIRST_S) * 1000)
        else:
            self.dropped.append(name)


@pytest.fixture
def no_search_in_what_is_loaded() -> Iterator[None]:
    """Looking for garbage in all that the tests have loaded would stop the clients, and the
    model."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("no_search_in_what_is_loaded")
async def test_three_hundred_streams_are_open_at_once(
    board: Board, sample_home: Path, tmp_path: Path
) -> None:
    """Ten questions a second against a model that takes STREAM_S to finish what it writes."""
    texts = itertools.cycle(
        ["安心贷提前还款要收违约金吗", "随心借可以随时还款吗", "逾期会上征信吗"]
    )
    streams, memory = Streams(), list[float]()
    slow = quotes_slowly(FIRST_S, every_s=1.0, for_s=STREAM_S)
    endpoint = {"ZHUNXIN_LLM_TIMEOUT_S": "120"}
    async with openai_stub(beyond=slow) as stub:
        endpoint["ZHUNXIN_LLM_BASE_URL"] = stub.base_url
        with serving(sample_home, tmp_path / "stderr", "openai:stub", endpoint) as server:
            async with httpx.AsyncClient(
                base_url=server.address,
                trust_env=False,
                timeout=120,
                limits=httpx.Limits(max_connections=1000),
            ) as client:
                await Streams().ask(client, "安心贷可以借多少")
                async with asyncio.TaskGroup() as tasks:
                    started = time.monotonic()
                    while (now := time.monotonic() - started) < STREAMS_FOR_S:
                        tasks.create_task(streams.ask(client, next(texts)))
                        if len(memory) < now / 5:
                            memory.append(resident_mib(server.process.pid))
                        await asyncio.sleep(0.1)
    settled = memory[int(len(memory) * min(0.5, 2 * STREAM_S / STREAMS_FOR_S)) :]
    quarter = max(1, len(settled) // 4)
    growth = statistics.median(settled[-quarter:]) / statistics.median(settled[:quarter])
    board.add(
        Row("ten chats a second: open at once", "", (float(streams.most_open),)),
        Row("  dropped", "", (float(len(streams.dropped)),), bar=0.0),
        Row("  memory of the server", "MiB", tuple(settled)),
        Row("  growth of it", "x", (growth,), bar=1.05),
        Row(
            "  added before the first sentence",
            "ms",
            tuple(streams.added_ms),
            bar=ADDED_BAR_MS,
            held="p95",
        ),
    )


def resident_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


# The server, as another process -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Server:
    process: subprocess.Popen[str]
    address: str
    ready_s: float
    said: dict[str, str]
    """What /readyz said when it first was 200."""


@contextmanager
def serving(
    home: Path, log: Path, llm: str, more: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """`zhunxin serve` over a home folder, from the moment it is ready."""
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", str(log.parent)),
        "ZHUNXIN_HOME": str(home),
        "ZHUNXIN_LLM": llm,
        "ZHUNXIN_REQUESTS_PER_MINUTE": "10000",
        **(more or {}),
    }
    started = time.perf_counter()
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [sys.executable, "-m", "assistant", "serve", "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environ,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            address = re.search(r"http://[\d.]+:\d+", line)
            assert address, f"the server did not start: {line!r} {log.read_text()}"
            with httpx.Client(base_url=address.group(), trust_env=False, timeout=60) as client:
                while (answer := client.get("/readyz")).status_code != 200:
                    assert time.perf_counter() - started < 60, answer.text
                    time.sleep(0.02)
            ready_s = time.perf_counter() - started
            yield Server(process, address.group(), ready_s, answer.json())
        finally:
            process.terminate()
            process.wait(20)


def seen_by_clock(client: httpx.Client, text: str) -> dict[str, float]:
    """Event name -> milliseconds from sending the question to the first event of that name."""
    seen: dict[str, float] = {}
    started = time.perf_counter()
    with client.stream("POST", "/v1/chat", json={"message": text}) as answer:
        assert answer.status_code == 200
        name = ""
        for line in answer.iter_lines():
            if line.startswith("event:"):
                name = line.removeprefix("event:").strip()
            elif line.startswith("data:"):
                seen.setdefault(name, (time.perf_counter() - started) * 1000)
    assert "done" in seen, seen
    return seen


def resident_mb(pid: int) -> float:
    """Memory that a process holds, shared pages of its files included."""
    said = subprocess.run(
        ["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True
    )
    return int(said.stdout) / 1024


# Recorders ----------------------------------------------------------------------------------------


class TwiceEmbedder:
    """Embeds each batch twice, once for the caller and once on the clock.

    Both meet the same state of the machine, which a second pass minutes later would not; which of
    them comes first alternates.
    """

    def __init__(self, inner: Embedder) -> None:
        self.inner = inner
        self.name = inner.name
        self.alone_s = 0.0
        self._batch = count()

    def passages(self, texts: Sequence[str]) -> Vectors:
        if next(self._batch) % 2:
            self._on_the_clock(texts)
            return self.inner.passages(texts)
        vectors = self.inner.passages(texts)
        self._on_the_clock(texts)
        return vectors

    def query(self, text: str) -> Vectors:
        return self.inner.query(text)

    def _on_the_clock(self, texts: Sequence[str]) -> None:
        started = time.perf_counter()
        self.inner.passages(texts)
        self.alone_s += time.perf_counter() - started


@dataclass(frozen=True, slots=True)
class ModelCall:
    messages: tuple[Message, ...]
    seconds: float
    read: int
    written: int


class Recorded:
    """A model whose calls are kept, with their time and tokens."""

    def __init__(self, inner: ChatModel) -> None:
        self.name = inner.name
        self.way: Way = inner.way
        self.calls: list[ModelCall] = []
        self._inner = inner

    async def complete(
        self, messages: Sequence[Message], *, schema: Any = None, max_tokens: int
    ) -> Completion:
        started = time.perf_counter()
        done = await self._inner.complete(messages, schema=schema, max_tokens=max_tokens)
        seconds = time.perf_counter() - started
        self.calls.append(
            ModelCall(tuple(messages), seconds, done.input_tokens, done.output_tokens)
        )
        return done

    def stream(self, messages: Sequence[Message], *, max_tokens: int) -> TextStream:
        return self._inner.stream(messages, max_tokens=max_tokens)

    async def close(self) -> None:
        await self._inner.close()


@dataclass(frozen=True, slots=True)
class Speeds:
    """Tokens a second."""

    read: float
    written: float


def plain_speeds(base_url: str, api_key: str, messages: Sequence[Message]) -> Speeds:
    """How fast the local server reads a prompt of which it keeps nothing, and writes."""
    answer = httpx.post(
        f"{base_url}/chat/completions",
        headers={"Authorization": f"Bearer {api_key}"},
        json={
            "messages": [{"role": m.role, "content": m.text} for m in messages],
            "max_tokens": 24,
            "cache_prompt": False,
        },
        trust_env=False,
        timeout=120,
    )
    answer.raise_for_status()
    timings = answer.json()["timings"]
    return Speeds(timings["prompt_per_second"], timings["predicted_per_second"])
