"""`emotion-edge notice`: a printable notice that emotion recognition is running, filled in from the settings."""

import io
import os
import socket
import sys
from base64 import b64encode
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Final

import segno

from edge import __version__
from edge.config import Settings
from edge.errors import EmotionEdgeError
from edge.outputs.web.disclosure import CONNECTED, MQTT, facts_of, statements
from edge.outputs.web.documents import PAGE
from edge.translations import LANGUAGES, Words, words_of

FIELDS: Final = ("purpose", "controller", "contact")
"""Settings of the section `notice` that only the owner of the board knows, in the order in which they are printed."""

_IMAGES: Final = ("say_no_image", "say_images_page", "say_snapshots", "say_server")
_STORED: Final = ("say_recorded", "say_not_recorded")
_SENT: Final = ("say_mqtt",)


def notice(settings: Settings, language: str | None = None, out: Path | None = None) -> Path:
    """Write the notice as one HTML file that prints on A4, and return its path.

    Args:
        settings: fill in the notice.
        language: code of one of the languages; None: `display.language`.
        out: the file; None: notice-<language>.html in the working folder.

    Raises:
        EmotionEdgeError: there is no such language, or `out` cannot be written.
    """
    language = language or settings.display.language
    if language not in LANGUAGES:
        raise EmotionEdgeError(f"notice: --language must be one of {', '.join(LANGUAGES)}, found {language!r}")
    out = out or Path(f"notice-{language}.html")
    try:
        out.write_text(notice_page(settings, language), encoding="utf-8")
    except OSError as error:
        raise EmotionEdgeError(f"notice: cannot write {out}: {error.strerror}") from error
    if missing := missing_fields(settings):
        print(f"emotion-edge: {', '.join(missing)}: empty, so the sheet has a line to write on", file=sys.stderr)
    return out


def missing_fields(settings: Settings) -> list[str]:
    """List the settings without which the notice has blanks."""
    return [f"notice.{name}" for name in FIELDS if not getattr(settings.notice, name)]


def notice_page(settings: Settings, language: str) -> str:
    """Return the notice as an HTML page that needs no other file."""
    words = words_of(language)
    said = statements(facts_of(settings), "running", {MQTT: CONNECTED} if settings.mqtt.host else {})

    def texts(keys: Iterable[str]) -> str:
        return " ".join(words[one["key"]].format(**{"days": one.get("days", "")}) for one in said if one["key"] in keys)

    rows = [(words[f"sheet_{name}"], getattr(settings.notice, name)) for name in FIELDS]
    rows += [
        (words["sheet_images"], texts(_IMAGES)),
        (words["sheet_stored"], texts(_STORED)),
        (words["sheet_sent"], texts(_SENT) or words["sheet_sent_nothing"]),
        (words["sheet_off"], words["sheet_off_text"]),
        (words["sheet_rights"], words["sheet_rights_text"]),
    ]
    table = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value) or _BLANK}</dd></div>" for name, value in rows)
    return f"""<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; font-src data:">
<title>{escape(words["sheet_title"])}</title>
<style>
{_fonts()}{_STYLE}</style>
</head>
<body>
<main>
{_PICTOGRAM}
<h1>{escape(words["sheet_title"])}</h1>
<p class="lead">{escape(words["sheet_intro"])}</p>
<dl>{table}</dl>
{_more(settings, words)}
<p class="small">{escape(words["page_estimate"])} {escape(words["sheet_law"])}</p>
<p class="small">Emotion Edge {escape(__version__)}, {escape(settings.mqtt.device_id)}</p>
</main>
</body>
</html>
"""


def _more(settings: Settings, words: Words) -> str:
    """Return HTML with a QR code to `notice.url`, else to the live page if it is on the network."""
    url = settings.notice.url
    if not url and settings.web.enabled and settings.web.on_network:
        scheme = "https" if settings.web.cert_file else "http"
        url = f"{scheme}://{socket.gethostname()}:{settings.web.port}/"
    if not url:
        return ""
    svg = io.BytesIO()
    try:
        segno.make(url, error="m", micro=False).save(
            svg, kind="svg", xmldecl=False, svgns=True, border=2, omitsize=True, svgclass="qr", lineclass=None
        )
    except segno.DataOverflowError as error:
        raise EmotionEdgeError("notice.url: too long for a QR code") from error
    code = svg.getvalue().decode().replace("<svg ", f'<svg role="img" aria-label="{escape(url)}" ', 1)
    return f'<div class="more">{code}<p>{escape(words["sheet_more"])}:<br><strong>{escape(url)}</strong></p></div>'


def _fonts() -> str:
    def face(name: str, weight: str) -> str:
        data = b64encode((PAGE / f"inter-{name}.woff").read_bytes()).decode()
        return f"@font-face{{font-family:Inter;font-weight:{weight};src:url(data:font/woff;base64,{data})}}{os.linesep}"

    return face("regular", "400") + face("bold", "600 800")


_BLANK: Final = '<span class="blank"></span>'

_STYLE: Final = """
@page { size: A4; margin: 12mm 16mm; }
* { box-sizing: border-box; margin: 0; }
body { background: #fff; color: #15191d; font: 11.5pt/1.4 Inter, sans-serif; }
main { max-width: 178mm; margin: 0 auto; padding: 4mm; }
.sign { display: block; width: 100%; max-height: 56mm; }
h1 { margin: 4mm 0 2mm; font-size: 25pt; line-height: 1.15; text-align: center; overflow-wrap: break-word; }
.lead { margin-bottom: 5mm; font-size: 13pt; text-align: center; }
dl { border-top: 1.5pt solid #15191d; }
dl div { display: grid; grid-template-columns: 38mm minmax(0, 1fr); gap: 4mm; padding: 2mm 0; }
dl div { border-bottom: 0.5pt solid #9aa1a7; }
dt { font-weight: 700; overflow-wrap: anywhere; }
dd { overflow-wrap: anywhere; white-space: pre-line; }
.blank { display: block; height: 6mm; border-bottom: 1pt dotted #15191d; }
.more { display: flex; align-items: center; gap: 5mm; margin-top: 4mm; break-inside: avoid; }
.qr { flex: none; width: 30mm; height: 30mm; }
.more p { overflow-wrap: anywhere; min-width: 0; }
.small { margin-top: 3mm; color: #4a5259; font-size: 8.5pt; }
@media print { main { padding: 0; } * { print-color-adjust: exact; } }
@media (max-width: 30rem) { dl div { grid-template-columns: minmax(0, 1fr); gap: 0; } }
"""

_PICTOGRAM: Final = """<svg class="sign" viewBox="0 0 420 190" aria-hidden="true">
<g fill="none" stroke="#15191d" stroke-width="7" stroke-linecap="round" stroke-linejoin="round">
<rect x="16" y="66" width="84" height="60" rx="10" fill="#15191d"/>
<path d="M104 88l26-16v48l-26-16z" fill="#15191d"/>
<path d="M146 84l42-22M146 108l42 22" stroke-width="4" stroke-dasharray="2 10"/>
<circle cx="270" cy="96" r="56" fill="#fff"/>
<path d="M240 118c14 20 46 20 60 0"/>
<path d="M200 46V26h22M318 26h22v20M340 146v20h-22M222 166h-22v-20" stroke="#b34700"/>
</g>
<circle cx="44" cy="96" r="13" fill="#fff"/>
<circle cx="250" cy="84" r="7" fill="#15191d"/><circle cx="290" cy="84" r="7" fill="#15191d"/>
<g fill="none" stroke="#15191d" stroke-width="4" stroke-linecap="round">
<circle cx="376" cy="46" r="17" fill="#f0e442"/><path d="M367 50c4 7 14 7 18 0"/>
<circle cx="376" cy="96" r="17" fill="#e8e8e8"/><path d="M367 103h18"/>
<circle cx="376" cy="146" r="17" fill="#56b4e9"/><path d="M367 156c4-7 14-7 18 0"/>
</g>
<g fill="#15191d"><circle cx="370" cy="41" r="2.6"/><circle cx="382" cy="41" r="2.6"/><circle cx="370" cy="91" r="2.6"/>
<circle cx="382" cy="91" r="2.6"/><circle cx="370" cy="141" r="2.6"/><circle cx="382" cy="141" r="2.6"/></g>
</svg>"""
