"""Links as QR codes, for whoever has a phone at hand."""

import io

import segno


def svg_code(link: str) -> bytes:
    """An SVG for the page: dark on light, with the quiet zone that readers need."""
    file = io.BytesIO()
    segno.make(link, micro=False).save(file, kind="svg", xmldecl=False, omitsize=True, dark="#08090c", light="#fff")
    return file.getvalue()


def terminal_code(link: str) -> str:
    """Lines for a terminal."""
    file = io.StringIO()
    segno.make(link, micro=False).terminal(out=file, compact=True)
    return file.getvalue()
