"""Receives the files of a multipart form straight into a folder, never into memory."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import python_multipart
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from assistant.uploads import MAX_FILES, UploadedFile, file_name, refuse_name

MAX_FIELD_BYTES = 1000
MAX_FIELDS = 20


class BadForm(Exception):
    """The body is no multipart form, or does not end as one."""


class TooManyFiles(Exception):
    """The form holds more files than one upload may have."""


@dataclass(frozen=True, slots=True)
class Form:
    files: tuple[UploadedFile, ...]
    """In the order sent; one that is not taken says why and is not in the folder."""
    fields: dict[str, str]


async def receive_form(
    body: AsyncIterator[bytes], content_type: str, folder: Path, max_bytes: int
) -> Form:
    """Write the files of a form into a new folder, which is gone again if the form is not whole.

    max_bytes: of one file; a larger one is refused and the others are taken.
    Raises BadForm, TooManyFiles, and what `body` raises where the client leaves.
    """
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not boundary:
        raise BadForm("not a multipart form")
    await asyncio.to_thread(folder.mkdir, parents=True)
    reader = _Reader(folder, max_bytes)
    whole = False
    try:
        parser = python_multipart.MultipartParser(
            boundary,
            {
                "on_part_begin": reader.begin,
                "on_header_field": reader.header_name,
                "on_header_value": reader.header_value,
                "on_header_end": reader.header_end,
                "on_headers_finished": reader.headers_end,
                "on_part_data": reader.content,
                "on_part_end": reader.end,
                "on_end": reader.last,
            },
        )
        async for chunk in body:
            await asyncio.to_thread(parser.write, chunk)
        if not reader.complete:
            raise BadForm("the form ends in the middle")
        whole = True
    except FormParserError as error:
        raise BadForm(str(error)) from error
    finally:
        reader.close()
        if not whole:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    return Form(tuple(reader.files), reader.fields)


class _Reader:
    """What the parser calls, part by part. A file is written as it comes."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.files: list[UploadedFile] = []
        self.fields: dict[str, str] = {}
        self.complete = False
        self._folder = folder
        self._max_bytes = max_bytes
        self._open: BinaryIO | None = None
        self._file: UploadedFile | None = None
        self._hash = hashlib.sha256()
        self._headers: dict[bytes, bytes] = {}
        self._name = self._value = b""
        self._field = ""
        self._content = b""

    def begin(self) -> None:
        self._headers = {}
        self._field, self._content, self._file = "", b"", None

    def header_name(self, sent: bytes, start: int, end: int) -> None:
        self._name += sent[start:end]

    def header_value(self, sent: bytes, start: int, end: int) -> None:
        self._value += sent[start:end]

    def header_end(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def headers_end(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if b"filename" not in options:
            self._field = options.get(b"name", b"").decode(errors="replace")
            return
        if len(self.files) == MAX_FILES:
            raise TooManyFiles
        name = file_name(options[b"filename"].decode(errors="replace"))
        refused = refuse_name(name, [file.name for file in self.files if not file.reason])
        shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)[:200]
        self._file = UploadedFile(shown, 0, "", "skipped" if refused else "waiting", refused)
        self._hash = hashlib.sha256()
        if not refused:
            self._open = (self._folder / name).open("xb")

    def content(self, sent: bytes, start: int, end: int) -> None:
        if self._file is None:
            self._content += sent[start:end]
            if len(self._content) > MAX_FIELD_BYTES:
                raise BadForm("a field is too long")
            return
        piece = sent[start:end]
        self._file = replace(self._file, size=self._file.size + len(piece))
        if self._open is None:
            return
        if self._file.size > self._max_bytes:
            self._refuse("too_large")
            return
        self._hash.update(piece)
        self._open.write(piece)

    def end(self) -> None:
        if self._file is None:
            if len(self.fields) == MAX_FIELDS:
                raise BadForm("too many fields")
            self.fields[self._field] = self._content.decode(errors="replace").strip()
            return
        if self._open is not None and not self._file.size:
            self._refuse("empty")
        if self._open is not None:
            self._file = replace(self._file, sha256=self._hash.hexdigest())
        self.close()
        self.files.append(self._file)

    def last(self) -> None:
        self.complete = True

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    def _refuse(self, reason: str) -> None:
        assert self._file is not None
        self.close()
        (self._folder / self._file.name).unlink()
        self._file = replace(self._file, result="skipped", reason=reason)
