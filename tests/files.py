"""Files made for the readers' tests, and what the readers make of them."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import docx
import pytest
from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas

from knowledge.documents import Document, Head
from knowledge.readers import Unreadable, read


def load(folder: Path, name: str, content: str | bytes, head: Head | None = None) -> Document:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read(path, name, head)


def refuse(folder: Path, name: str, content: str | bytes) -> str:
    with pytest.raises(Unreadable) as refusal:
        load(folder, name, content)
    message = str(refusal.value)
    assert message.startswith(f"{name}: ")
    return message


def texts(document: Document) -> list[str]:
    return [block.text for block in document.blocks if block.kind != "table"]


def tables(document: Document) -> list[tuple[tuple[str, ...], ...]]:
    return [block.rows for block in document.blocks if block.kind == "table"]


def word(build: Callable[[docx.document.Document], object]) -> bytes:
    document = docx.Document()
    build(document)
    buffer = BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def drawn(draw: Callable[[Canvas], object], **options: object) -> bytes:
    buffer = BytesIO()
    canvas = Canvas(buffer, pagesize=A4, **options)
    draw(canvas)
    canvas.save()
    return buffer.getvalue()
