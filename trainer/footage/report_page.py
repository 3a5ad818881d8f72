"""The footage report for people: report.html with its pictures and plots inside, and a table on the console."""

from html import escape
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from engines.files import write_file
from realtime.frame import Rgb
from realtime.html import document, image, strips
from realtime.pose.measure import ankle_line_px, middle, stature_px
from realtime.pose.skeleton import INDEX
from trainer.footage.acceptance import FootageReport, PersonMetrics
from trainer.footage.analyse import VISIBLE_PARTS, Stills, Track
from trainer.footage.coverage import facing

MORE = """
table { border-collapse: collapse } td { padding: .1rem 1rem .1rem 0; vertical-align: top }
td:first-child { color: #a0a0aa }
.bad { border-left: 4px solid #ff5d5d; padding-left: .7rem }
.maps { display: grid; grid-template-columns: repeat(4, 1fr); gap: 8px }
figure { margin: 0 } figcaption { color: #a0a0aa; font-size: 13px } .maps img { image-rendering: pixelated }
progress { width: 14rem }
"""
SHOWN_STILLS = 12
"""Pictures on the page."""
MAP_PX = 64
"""Side of a map of places."""


def publish(report: FootageReport, track: Track, stills: Stills, run: Path) -> None:
    """Write RUN/report.html, and print its numbers and advice."""
    write_file(run / "report.html", page(report, track, stills).encode())
    table = Table(show_header=False, box=None, title=report.video, title_justify="left")
    for name, text in report.facts():
        table.add_row(name, text)
    console = Console()
    console.print(table)
    for sentence in report.advice:
        console.print(f"- {sentence}", markup=False, highlight=False)


def page(report: FootageReport, track: Track, stills: Stills) -> str:
    """The report as HTML, with at most `SHOWN_STILLS` of the stills."""
    shown = stills[:: max(1, len(stills) // SHOWN_STILLS)][:SHOWN_STILLS]
    verdict = (
        "".join(f"<p class=bad>It cannot be used: {escape(text)}.</p>" for text in report.reasons)
        or "<p>It can be used.</p>"
    )
    advice = "".join(f"<p class=warn>{escape(text)}</p>" for text in report.advice)
    facts = "".join(f"<tr><td>{escape(name)}<td>{escape(text)}" for name, text in report.facts())
    rows = [track.seen, *track.parts.T]
    return document(
        f"Footage {report.video}",
        f"{verdict}{advice}<h2>Metrics</h2><table>{facts}</table>"
        f"<h2>Looks like</h2><p class=key>The box is what the network sees.</p>"
        f"<div class=stills>{''.join(_still(report, track, *still) for still in shown)}</div>"
        f"<h2>When it is seen</h2><p class=key>From above: person, {escape(', '.join(VISIBLE_PARTS))}. "
        f"Bright: seen; dark: not.</p>{strips([row.tolist() for row in rows])}"
        f"{_moves(report.person)}{_maps(track, report.size_px)}",
        MORE,
    )


def _still(report: FootageReport, track: Track, number: int, picture: Rgb) -> str:
    k = len(picture) / report.source_px[1]
    x, y, width, height = (round(k * side) for side in report.crop)
    framed = cv2.rectangle(picture.copy(), (x, y), (x + width - 1, y + height - 1), (77, 210, 255), 2)
    pose = track.poses[number]
    view = "nobody" if pose is None else {"front": "from the front", "back": "from behind"}.get(
        facing(pose), f"from the {facing(pose)}"
    )  # fmt: skip
    return _captioned(np.asarray(framed, np.uint8), f"{number / track.fps:.1f} s, {view}")


def _captioned(picture: Rgb, caption: str) -> str:
    return f"<figure>{image(picture)}<figcaption>{escape(caption)}</figcaption></figure>"


def _moves(person: PersonMetrics | None) -> str:
    rows = "".join(
        f"<tr><td>{escape(move.name)}<td>{move.seen_s:.1f} s<td>of {move.wanted_s:.0f} s"
        f'<td><progress max="{move.wanted_s}" value="{min(move.seen_s, move.wanted_s)}"></progress>'
        for move in (person.moves if person else ())
    )
    return f"<h2>What is danced</h2><table>{rows}</table>" if rows else ""


def _maps(track: Track, size_px: tuple[int, int]) -> str:
    """Heat maps: where hands and a foot were relative to the hips, and where the feet stood in the picture."""
    people = [pose for pose in track.poses if pose is not None]
    if not people:
        return ""
    width, height = size_px
    maps = {
        name: _map(
            np.stack([(pose.xy[INDEX[joint]] - middle(pose, "hip")) / stature_px(pose) + 0.8 for pose in people]) / 1.6
        )
        for name, joint in (("left hand", "left_wrist"), ("right hand", "right_wrist"), ("left foot", "left_ankle"))
    }
    stood = np.array([(middle(pose, "hip")[0] / width, ankle_line_px(pose) / height) for pose in people])
    maps["where the feet stood in the picture"] = _map(stood)
    shown = "".join(_captioned(each, name) for name, each in maps.items())
    return (
        "<h2>Where it went</h2><p class=key>Brighter: more often. Hands and feet are seen from the hips, "
        f"which are in the middle.</p><div class=maps>{shown}</div>"
    )


def _map(places: NDArray[np.floating]) -> Rgb:
    """How often each place (x, y in 0..1) was visited, uint8 [H, W, 3]."""
    counts, _, _ = np.histogram2d(places[:, 1], places[:, 0], bins=MAP_PX, range=((0, 1), (0, 1)))
    heat = np.log1p(counts) / max(1e-6, np.log1p(counts).max())
    grey = cv2.resize((34 + 200 * heat).astype(np.uint8), None, fx=4, fy=4, interpolation=cv2.INTER_NEAREST)
    return np.asarray(cv2.merge([grey // 3 + 20, grey // 6 * 5, grey]), np.uint8)
