"""Reads the text in pictures; run as a script in a process of its own, never imported.

The libraries that decode pictures and recognise text are native code fed with strangers' files,
and their memory grows from page to page: a process can crash, be ended and be replaced.

Requests come on stdin: a line of JSON (`kind`, `size`, `pages`), then `size` bytes of
a file. Each page is answered on stdout by one line of JSON, a request by a last line with `done`.
The process ends itself when a page takes too long, when nobody asks any more, or with its parent.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any

MAX_SIDE = 2000
"""Pixels of a page's longer side; the recogniser scales larger ones down to it."""
MAX_PIXELS = 64_000_000
"""Largest picture that is decoded: a sheet of A3 at 600 dpi is larger, a photo is not."""
PAGE_SECONDS = 180
"""A page that takes longer ends the process."""
IDLE_SECONDS = 60
"""Without a request for so long the process ends and gives back its memory."""
LONG = 2.5
"""Height over width from which a picture is a long screenshot and is read in strips."""
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP")
DOUBTFUL = 0.8
"""Mean confidence below which the page is also tried the other way up."""

LEAST_CONFIDENCE = 0.5
"""Confidence below which a line is taken for a stain."""

Pixels = Any
"""Rows, columns and blue, green, red of a picture: a numpy array of bytes."""


class Refused(Exception):
    """A picture is not read; the message completes "page N ..."."""


def serve(threads: int) -> None:
    # What libraries print must not be taken for an answer.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    # The default actions end the process at once, even inside native code.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(PAGE_SECONDS)
    engine = open_engine(threads)
    signal.alarm(0)
    requests = sys.stdin.buffer
    while select.select([requests], [], [], IDLE_SECONDS)[0]:
        line = requests.readline()
        if not line:
            return
        request = json.loads(line)
        data = requests.read(request["size"])
        if len(data) < request["size"]:
            return
        pages = pdf_pages if request["kind"] == "pdf" else picture_pages
        signal.alarm(PAGE_SECONDS)
        for number, total, picture in pages(data, request["pages"]):
            answer: dict[str, Any] = {"page": number, "total": total}
            if isinstance(picture, Refused):
                answer["refused"] = str(picture)
            else:
                answer |= read_page(engine, picture)
            answers.write(json.dumps(answer) + "\n")
            answers.flush()
            signal.alarm(PAGE_SECONDS)
        signal.alarm(0)
        answers.write('{"done": true}\n')
        answers.flush()


def open_engine(threads: int) -> Any:
    import cv2
    from rapidocr import RapidOCR

    cv2.setNumThreads(threads)
    return RapidOCR(
        params={
            "Global.log_level": "critical",
            "Global.max_side_len": MAX_SIDE,
            # What it is unsure of must count when the right way up is looked for.
            "Global.text_score": 0.0,
            # Turning single lines makes -9 of a short "6-"; whole pages are turned here instead.
            "Global.use_cls": False,
            "EngineConfig.onnxruntime.intra_op_num_threads": threads,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )


# Pictures


def pdf_pages(data: bytes, numbers: list[int]) -> Iterator[tuple[int, int, Pixels | Refused]]:
    """The asked pages of a PDF as pictures, with their numbers and the count of all."""
    import pypdfium2

    with pypdfium2.PdfDocument(data) as pdf:
        for number in numbers:
            page = pdf[number - 1]
            scale = min(MAX_SIDE / max(*page.get_size(), 1.0), 4.0)
            bitmap = page.render(scale=scale, rev_byteorder=False, prefer_bgrx=False)
            yield number, len(pdf), as_pixels(bitmap.to_pil())
            bitmap.close()
            page.close()


def picture_pages(data: bytes, numbers: list[int]) -> Iterator[tuple[int, int, Pixels | Refused]]:
    """The asked pages of a TIFF, or the one page of any other picture."""
    from PIL import Image, ImageOps

    Image.MAX_IMAGE_PIXELS = None  # The bound is kept below, with a reason.
    with Image.open(BytesIO(data), formats=FORMATS) as image:
        total = getattr(image, "n_frames", 1) if image.format == "TIFF" else 1
        for number in numbers:
            if number > total:
                return
            image.seek(number - 1)
            if image.width * image.height > MAX_PIXELS:
                yield (
                    number,
                    total,
                    Refused(
                        f"page {number} has {image.width} x {image.height} pixels, more than the "
                        f"{MAX_PIXELS // 10**6} million that are read; scale it down"
                    ),
                )
                continue
            # A large photo is decoded at a fraction of its size where its format can do that.
            image.draft("RGB", (2 * MAX_SIDE, 2 * MAX_SIDE))
            yield number, total, as_pixels(ImageOps.exif_transpose(image))


def as_pixels(image: Any) -> Pixels:
    """A picture on white in the order of colours that OpenCV uses."""
    import numpy as np
    from PIL import Image

    if image.mode in ("I;16", "I", "F"):
        low, high = image.getextrema()
        image = image.point(lambda v: (v - low) * (255 / max(high - low, 1))).convert("L")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    long = image.height > LONG * image.width
    bound = (MAX_SIDE, image.height) if long else (MAX_SIDE, MAX_SIDE)
    image = image.convert("RGB")
    image.thumbnail(bound)
    return np.ascontiguousarray(np.asarray(image)[:, :, ::-1])


# Reading


@dataclass(frozen=True, slots=True)
class Found:
    """The lines of one picture: four corners, text and confidence (0 to 1) of each."""

    boxes: list[Any]
    texts: list[str]
    scores: list[float]

    def confidence(self) -> float:
        """Mean confidence by length, 0 where nothing was found."""
        weights = [len(text) for text in self.texts]
        total = sum(w * s for w, s in zip(weights, self.scores, strict=True))
        return total / max(sum(weights), 1)


def read_page(engine: Any, pixels: Pixels) -> dict[str, Any]:
    """Lines and ruled edges of one page, turned upright, in pixels of the turned page."""
    import cv2
    import numpy as np

    height, width = pixels.shape[:2]
    found, turned = Found([], [], []), 0
    if long := height > LONG * width:
        found = read_strips(engine, pixels)
    if not long or tallness(found.boxes) > 0.5:
        pixels, found, turned = upright(engine, pixels)
        height, width = pixels.shape[:2]
    boxes = found.boxes
    angle = slope(boxes)
    if abs(angle) > 0.2:
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
        pixels = cv2.warpAffine(pixels, matrix, (width, height), borderValue=(255, 255, 255))
        boxes = [cv2.transform(np.asarray([box], dtype=np.float64), matrix)[0] for box in boxes]
    lines = []
    for box, text, score in zip(boxes, found.texts, found.scores, strict=True):
        if score >= LEAST_CONFIDENCE and text.strip():
            xs, ys = [float(x) for x, _ in box], [float(y) for _, y in box]
            edges = (min(xs), min(ys), max(xs), max(ys))
            lines.append([*(round(edge, 1) for edge in edges), text])
    return {
        "width": width,
        "height": height,
        "turned": turned * 90,
        "confidence": round(found.confidence(), 3),
        "lines": lines,
        "rules": find_rules(pixels),
    }


def recognise(engine: Any, pixels: Pixels) -> Found:
    found = engine(pixels)
    if getattr(found, "txts", None) is None or getattr(found, "boxes", None) is None:
        return Found([], [], [])
    return Found(list(found.boxes), list(found.txts), [float(score) for score in found.scores])


def upright(engine: Any, pixels: Pixels) -> tuple[Pixels, Found, int]:
    """The page the right way up, its lines, and by how many quarters it was turned to the left."""
    import numpy as np

    found = recognise(engine, pixels)
    best, turned = found.confidence(), 0
    turns: tuple[int, ...] = ()
    if tallness(found.boxes) > 0.5:
        # A line that stands is recognised turned to the left. Where that gives nonsense, the page
        # is to be turned to the right.
        turns = (1, 3) if best >= DOUBTFUL else (3, 1)
        best = 0.0
    elif found.texts and best < DOUBTFUL:
        turns = (2,)
    for turn in turns:
        other = recognise(engine, np.ascontiguousarray(np.rot90(pixels, turn)))
        if other.confidence() > best:
            found, best, turned = other, other.confidence(), turn
        if best >= DOUBTFUL:
            break
    return np.ascontiguousarray(np.rot90(pixels, turned)), found, turned


def read_strips(engine: Any, pixels: Pixels) -> Found:
    """A long screenshot, cut where a row of pixels is plain so that no line is cut through."""
    import numpy as np

    height, width = pixels.shape[:2]
    boxes: list[Any] = []
    texts: list[str] = []
    scores: list[float] = []
    top = 0
    while top < height:
        end = min(top + int(1.5 * width), height)
        if end < height:
            first = end - width // 3
            busy = pixels[first:end].astype(np.int16).std(axis=(1, 2))
            end = first + len(busy) - int(np.argmin(busy[::-1]))
        found = recognise(engine, np.ascontiguousarray(pixels[top:end]))
        boxes += [box + np.asarray([0, top]) for box in found.boxes]
        texts += found.texts
        scores += found.scores
        top = end
        signal.alarm(PAGE_SECONDS)
    return Found(boxes, texts, scores)


def sides(box: Any) -> tuple[float, float]:
    """Width and height of a box of four corners, from the top left one clockwise."""
    (x0, y0), (x1, y1), _, (x3, y3) = ((float(x), float(y)) for x, y in box)
    return ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5, ((x3 - x0) ** 2 + (y3 - y0) ** 2) ** 0.5


def tallness(boxes: list[Any]) -> float:
    """Share, by length, of the lines that stand upright on the page: they are set sideways."""
    measured = [sides(box) for box in boxes]
    tall = sum(height for width, height in measured if height > 1.5 * width)
    flat = sum(width for width, height in measured if width > 1.5 * height)
    return tall / max(tall + flat, 1.0)


def slope(boxes: list[Any]) -> float:
    """Degrees by which the lines of a page fall to the right; the page was scanned askew."""
    import numpy as np

    wide = [box for box in boxes if sides(box)[0] > 5 * sides(box)[1]]
    if len(wide) < 3:
        return 0.0
    angles = [np.degrees(np.arctan2(b[1][1] - b[0][1], b[1][0] - b[0][0])) for b in wide]
    angle = float(np.median(angles))
    return angle if abs(angle) < 15 else 0.0


def find_rules(pixels: Pixels) -> list[list[float]]:
    """Drawn straight lines as (x0, top, x1, bottom); the rules of tables are among them."""
    import cv2

    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    ink = cv2.adaptiveThreshold(
        cv2.bitwise_not(grey), 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, 15, -10
    )
    height, width = ink.shape
    rules: list[list[float]] = []
    for across in (True, False):
        least = max(min(width, height) // 30, 25)
        kernel = (least, 1) if across else (1, least)
        drawn = cv2.morphologyEx(
            ink, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_RECT, kernel)
        )
        # A hair's breadth thicker, so that a rule broken by the scanner's grid is one again.
        drawn = cv2.dilate(drawn, cv2.getStructuringElement(cv2.MORPH_RECT, (3, 3)))
        _, _, stats, _ = cv2.connectedComponentsWithStats(drawn, connectivity=8)
        for x, y, w, h, _ in stats[1:].tolist():
            if across and w > 4 * h:
                rules.append([x, y + h / 2, x + w, y + h / 2])
            elif not across and h > 4 * w:
                rules.append([x + w / 2, y, x + w / 2, y + h])
    return rules[:2000]


if __name__ == "__main__":
    serve(int(sys.argv[1]))
