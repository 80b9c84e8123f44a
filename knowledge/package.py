"""Opens the packages that Word and Excel files are: bounded, nothing extracted, no entities."""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO, RawIOBase
from typing import IO, Any

from .parsed import MAX_BYTES, MAX_MARKS, Unreadable

MAX_UNPACKED_BYTES = 200 * 1024 * 1024
"""Largest package once unpacked; a small file that unpacks to more is an attack or a mistake."""
MAX_ENTRIES = 10_000
"""Most parts of one package."""
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENTRY = b"PK\x01\x02"
_OUTSIDE = re.compile(r"(?:^|[/\\])\.\.(?:[/\\]|$)|^[/\\]|^[A-Za-z]:|\x00")
_STRICT = b"http://purl.oclc.org/ooxml/"
_USUAL = {
    b"http://purl.oclc.org/ooxml/wordprocessingml/main": (
        b"http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    ),
    b"http://purl.oclc.org/ooxml/officeDocument/relationships": (
        b"http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    ),
}


@dataclass(frozen=True, slots=True)
class Package:
    """An open package; its parts are read one at a time."""

    archive: zipfile.ZipFile
    entries: Mapping[str, zipfile.ZipInfo]

    def part(self, name: str) -> bytes | None:
        """The bytes of a part; None where there is none."""
        entry = self.entries.get(name)
        if entry is None:
            return None
        with self.stream(name) as stream:
            return stream.read()

    def stream(self, name: str) -> IO[bytes]:
        """A part as a file that never unpacks more than a little at once; raises KeyError."""
        return _Bounded(self.archive.open(self.entries[name]))  # type: ignore[return-value]

    def xml(self, name: str) -> Any:
        """The root element of a part; None where there is none."""
        from lxml import etree

        entry = self.entries.get(name)
        if entry is not None and entry.file_size > MAX_BYTES:
            raise Unreadable(
                f"one part of the file unpacks to {entry.file_size / 2**20:.0f} MB, more than the "
                f"{MAX_BYTES // 2**20} MB that are read; split the file"
            )
        data = self.part(name)
        if not data or not data.strip():
            return None
        if data.count(b"<") + data.count(b"=") > MAX_MARKS:
            raise Unreadable(
                f"one part of the file has more than {MAX_MARKS:,} tags and attributes; "
                "split the file"
            )
        if _STRICT in data:
            for strict, usual in _USUAL.items():
                data = data.replace(strict, usual)
        parser = etree.XMLParser(
            resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True
        )
        root = etree.fromstring(data, parser)
        refuse_entities(root)
        return root

    def relations(self, part: str) -> dict[str, tuple[str, str]]:
        """The parts that a part refers to, by id, each with the last word of its kind."""
        folder, name = posixpath.split(part)
        root = self.xml(posixpath.join(folder, "_rels", f"{name}.rels"))
        if root is None:
            return {}
        found: dict[str, tuple[str, str]] = {}
        for relation in root:
            target = relation.get("Target", "")
            if relation.get("TargetMode") != "External":
                at = posixpath.normpath(posixpath.join("/", folder, target)).lstrip("/")
                found[relation.get("Id", "")] = (at, relation.get("Type", "").rpartition("/")[2])
        return found

    def main_part(self, usual: str) -> str:
        """The part that the package says is its document; the usual one where it says nothing."""
        kinds = {kind: part for part, kind in self.relations("").values()}
        return kinds.get("officeDocument", usual)


class _Bounded(RawIOBase):
    """Reads by the mebibyte: a single large read unpacks whatever the part holds at once."""

    _STEP = 1 << 20

    def __init__(self, inner: IO[bytes]) -> None:
        self._inner = inner

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and 0 <= size <= self._STEP:
            return self._inner.read(size)
        wanted = None if size is None or size < 0 else size
        held = bytearray()
        while wanted is None or len(held) < wanted:
            step = self._STEP if wanted is None else min(self._STEP, wanted - len(held))
            if not (piece := self._inner.read(step)):
                break
            held += piece
        return bytes(held)

    def close(self) -> None:
        self._inner.close()
        super().close()


def refuse_entities(root: Any) -> None:
    """Raises Unreadable if an XML part that was parsed declares a document type or entities."""
    if root.getroottree().docinfo.internalDTD is not None:
        raise Unreadable(
            "the file declares entities of its own, which no office program writes; "
            "save it anew and try again"
        )


def refuse_old(data: bytes, program: str, suffix: str) -> None:
    """Raises Unreadable for a protected file and for one in the program's format before 2007."""
    if not data.startswith(_OLE):
        return
    if "EncryptedPackage".encode("utf-16-le") in data:
        raise Unreadable("the file is protected by a password; save a copy without one")
    raise Unreadable(f"the file is in the format of {program} 97-2003; save it as {suffix}")


@contextmanager
def open_package(data: bytes) -> Iterator[Package]:
    """The package in a file's bytes.

    Raises Unreadable for one that is protected, unpacks to too much or names parts outside itself.
    """
    if data.count(_ENTRY) > 2 * MAX_ENTRIES:
        raise Unreadable(f"the file holds more than {MAX_ENTRIES:,} parts; save it anew")
    with zipfile.ZipFile(BytesIO(data)) as archive:
        entries = archive.infolist()
        if len(entries) > MAX_ENTRIES:
            raise Unreadable(f"the file holds more than {MAX_ENTRIES:,} parts; save it anew")
        if sum(entry.file_size for entry in entries) > MAX_UNPACKED_BYTES:
            raise Unreadable(
                f"the file unpacks to more than {MAX_UNPACKED_BYTES // 2**20} MB; "
                "split it or take its pictures out"
            )
        for entry in entries:
            if _OUTSIDE.search(entry.filename):
                raise Unreadable(
                    f"the file holds a part named {entry.filename[:80]!r}, which lies outside it; "
                    "it was tampered with"
                )
            if entry.flag_bits & 1:
                raise Unreadable("the file is protected by a password; save a copy without one")
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise Unreadable(
                    "the file is packed in a way that no office program uses; save it anew"
                )
        yield Package(archive, {entry.filename: entry for entry in entries})
