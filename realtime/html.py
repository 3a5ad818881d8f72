"""HTML reports: a page that is one file, with its style, pictures and plots inside."""

import base64
from collections.abc import Sequence
from html import escape

import cv2
import numpy as np

from realtime.frame import Rgb

WIDTH_PX, STRIP_PX = 1000, 14
"""Width of plots, and height of a strip, in the SVGs' own units."""
CSS = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1040px; margin: 2rem auto; padding: 0 1rem;
  color: #e8e8ec; background: #16161a }
h1 { font-size: 1.4rem } h2 { font-size: 1.05rem; margin-top: 2rem }
svg { width: 100%; display: block; background: #222228 }
.stills { display: grid; grid-template-columns: repeat(3, 1fr); gap: 4px } img { width: 100% }
.warn { border-left: 4px solid #f5a623; padding-left: .7rem } p.key { color: #a0a0aa; margin: .2rem 0 }
"""


def document(title: str, body: str, css: str = "") -> str:
    """A whole page: `title` as plain text, `body` as HTML, `css` after the common style."""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{CSS}{css}</style><h1>{escape(title)}</h1>{body}</html>\n"
    )


def image(rgb: Rgb) -> str:
    """An <img> with a picture, uint8 H W 3 RGB, inside."""
    _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 80])
    return f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(jpeg.tobytes()).decode()}">'


def strips(rows: Sequence[Sequence[bool]]) -> str:
    """A plot of booleans over time: a strip for each row, bright where it is true."""
    shapes = []
    for number, row in enumerate(rows):
        edges = np.flatnonzero(np.diff(np.array([False, *row, False]).astype(np.int8)))
        for start, stop in edges.reshape(-1, 2).tolist():
            x, width = WIDTH_PX * start / len(row), WIDTH_PX * (stop - start) / len(row)
            box = f'x="{x:.2f}" y="{number * STRIP_PX + 1}" width="{width:.2f}" height="{STRIP_PX - 2}"'
            shapes.append(f'<rect {box} fill="#4dd2ff"/>')
    return f'<svg viewBox="0 0 {WIDTH_PX} {STRIP_PX * len(rows)}">{"".join(shapes)}</svg>'
