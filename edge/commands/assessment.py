"""`emotion-edge assessment`: a data protection impact assessment in Markdown, as far as the settings can answer it."""

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final

from edge import __version__
from edge.config import Settings, reaches_network
from edge.config.secrets import without_password
from edge.emotion.classifier import open_classifier
from edge.errors import EmotionEdgeError
from edge.models.card import EmotionCard
from edge.models.runtime import choose
from edge.outputs.web.disclosure import is_shared
from edge.translations import words_of

OPEN: Final = "**[to be filled in]**"
"""Placeholder for answers that only the owner of the board can give."""

LAW_AS_OF: Final = "November 2026"
"""Month in which docs/privacy.md was last checked against the sources."""


def assessment(settings: Settings, out: Path) -> Path:
    """Write the assessment and return its path. Raises EmotionEdgeError if `out` cannot be written."""
    here = settings.emotion.model_copy(update={"server": ""})
    card = open_classifier(here, choose(settings.runtime.interpreter), 1).card
    try:
        out.write_text(assessment_text(settings, card, date.today()), encoding="utf-8")
    except OSError as error:
        raise EmotionEdgeError(f"assessment: cannot write {out}: {error.strerror}") from error
    return out


def assessment_text(settings: Settings, card: EmotionCard, day: date) -> str:
    """Return the assessment in Markdown: what Article 35(7) GDPR asks for, and a checklist for the deployer."""
    parts = (
        _head(settings, card, day),
        _flows(settings),
        _necessity(),
        _access(settings),
        _safeguards(settings),
        _errors(card),
        _risks(settings),
        _checklist(settings),
        _decision(),
    )
    return "\n\n".join(parts) + "\n"


def _or_open(text: str) -> str:
    return text or OPEN


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', '/').replace(chr(10), ' ') for cell in line)} |" for line in lines
    )


def _head(settings: Settings, card: EmotionCard, day: date) -> str:
    return f"""# Data protection impact assessment: {settings.mqtt.device_id}

Made on {day.isoformat()} by Emotion Edge {__version__} from the settings of this board. It says what the settings say;
**[to be filled in]** is what only the controller can say. It is a draft to work on, not legal advice. Make it again
when the settings change.

## 1. The processing

{
        _table(
            ("", ""),
            [
                ("Controller", _or_open(settings.notice.controller)),
                ("Contact", _or_open(settings.notice.contact)),
                ("Data protection officer, if any", OPEN),
                ("Purpose", _or_open(settings.notice.purpose)),
                ("Place, and who is in view there", OPEN),
                ("Legal basis (Article 6; if biometric data identify people, Article 9)", OPEN),
                ("Camera", without_password(settings.camera.source)),
                ("Part of the picture that is analysed", _region(settings)),
                ("Model", f"{card.name} {card.version}, labels: {', '.join(card.primary.labels)}"),
                ("Where it is computed", _where(settings)),
            ],
        )
    }

Faces are found in the camera's picture, followed while they are in view, and each is given an estimated expression with
a confidence. Nobody is identified: no template of a face is made or compared, and who leaves and comes back counts as
another face."""


def _region(settings: Settings) -> str:
    region = settings.detector.region
    return "all of it" if region is None else f"x, y, width, height as fractions: {', '.join(map(str, region))}"


def _where(settings: Settings) -> str:
    if settings.emotion.server:
        return f"faces are found on the board; cut-out faces go to {settings.emotion.server}, which classifies them"
    return "on the board; no cloud is asked"


def _flows(settings: Settings) -> str:
    mqtt, web, record = settings.mqtt, settings.web, settings.record
    encrypted = "TLS" if mqtt.tls else "not encrypted"
    broker = f"MQTT broker {mqtt.host}:{mqtt.port} ({encrypted})" if mqtt.host else "nobody: no broker is set"
    rows = [
        ("Camera picture", "memory of the board", "until the next one, a fraction of a second", "always"),
        (
            "Emotions, boxes, confidence, times, a number for each face",
            broker,
            "the last state until replaced; all else as long as its subscribers keep it" if mqtt.host else "not sent",
            "yes" if mqtt.host else "no",
        ),
        (
            "Picture on request (`mqtt.snapshots`)",
            broker,
            "not by the board",
            "yes" if _sends_snapshots(settings) else "no",
        ),
        (
            "Annotated pictures on the live page (`web.images`)",
            _page_readers(settings),
            "not by the board",
            "yes" if web.enabled and web.images else "no",
        ),
        (
            "Emotions and figures on the live page and in its `/metrics`",
            _page_readers(settings),
            "one minute, in memory",
            "yes" if web.enabled else "no",
        ),
        (
            "Record: emotion, confidence, times, no image (`record.enabled`)",
            "a file on the board",
            f"{record.days} days, {record.max_mb} MB at most; then deleted",
            "yes" if record.enabled else "no; it is off",
        ),
        (
            "Annotated picture on a display (`display.mode`)",
            "who stands before it",
            "not stored",
            "no" if settings.display.mode == "off" else "where a display is there",
        ),
        (
            "Pictures that visitors of the page give to it (file or browser camera)",
            "memory of the board",
            "until answered",
            "yes" if web.enabled else "no",
        ),
        (
            "Cut-out faces (`emotion.server`)",
            settings.emotion.server or "nobody: no server is set",
            "as that server does",
            "yes" if settings.emotion.server else "no",
        ),
    ]
    return "### Data flows and retention\n\n" + _table(("what", "goes to", "kept", "on this board"), rows)


def _page_readers(settings: Settings) -> str:
    if not is_shared(settings.web):
        return "this board alone (web.host is the loopback)"
    if not settings.web.on_network:
        return f"anyone the proxy before it admits (web.names, web.proxies): {OPEN}"
    how = "HTTPS" if settings.web.cert_file else "not encrypted"
    return f"the network at port {settings.web.port}, with a password, {how}"


def _sends_snapshots(settings: Settings) -> bool:
    return settings.mqtt.snapshots and bool(settings.mqtt.host)


def _privacy_switch(settings: Settings) -> str:
    """List the ways in which people can switch privacy on; empty if there is none."""
    places = []
    if settings.mqtt.host:
        places.append(f"whoever may publish at the broker {settings.mqtt.host}")
    if settings.gpio.button:
        places.append(f"the button at GPIO {settings.gpio.button}")
    return f"`privacy`: {' and '.join(places)}" if places else ""


def _told(settings: Settings) -> str:
    """Describe how people are informed of the recognition, as far as the settings tell."""
    shown = settings.display.mode != "off" or (settings.web.enabled and settings.web.images)
    ways = ["the sheet of `emotion-edge notice`, where it hangs"]
    ways += ["a notice in each shown picture"] * shown
    ways += [f"an LED at GPIO {settings.gpio.led}"] if settings.gpio.led else []
    return "; ".join(ways)


def _necessity() -> str:
    return f"""## 2. Necessity and proportionality

- Why the purpose needs an estimate of expressions, and no milder means serves: {OPEN}
- Who is in view, children or employees among them, and who may be without wanting to: {OPEN}
- How people are told before they come into view (`emotion-edge notice`), and how they can avoid it: {OPEN}
- Whether anybody decides about a person by it (it must not): {OPEN}
- The views of those concerned (Article 35(9)): {OPEN}"""


def _access(settings: Settings) -> str:
    mqtt, serve = settings.mqtt, settings.serve
    login = "user name and password" if mqtt.username else "client certificate" if mqtt.cert_file else "no login"
    rows = [
        ("Live page", _page_readers(settings) if settings.web.enabled else "switched off"),
        ("MQTT", f"{mqtt.host}: {login}, {'TLS' if mqtt.tls else 'not encrypted'}" if mqtt.host else "no broker"),
        (
            "Prediction server (`emotion-edge serve`), if it is run",
            f"the network at port {serve.port}, with a token" if reaches_network(serve.host) else "this board alone",
        ),
        ("Record", "a file that the service's user alone may read" if settings.record.enabled else "none"),
        ("Who holds the passwords, and who administers the board", OPEN),
        ("Who subscribes at the broker, and what they keep", OPEN if mqtt.host else "nobody"),
    ]
    return "## 3. Who has access\n\n" + _table(("", ""), rows)


def _safeguards(settings: Settings) -> str:
    web, display = settings.web, settings.display
    rows = [
        (
            "Switching off: `privacy` closes the camera",
            _privacy_switch(settings) or "no broker and no button is set: stop the service or unplug the camera",
        ),
        (
            "Notice in every shown picture",
            f"in {words_of(display.language)['language']}"
            if display.mode != "off" or web.images
            else "no picture is shown",
        ),
        (
            "Notice at the door",
            "filled in"
            if settings.notice.controller and settings.notice.contact
            else "controller or contact is missing",
        ),
        ("Faces made unrecognisable in shown pictures (`display.blur`)", "on" if display.blur else "off"),
        ("Part of the picture that is not analysed (`detector.region`)", "set" if settings.detector.region else "none"),
        ("Uncertain results are marked (`emotion.uncertain_below`)", f"below {settings.emotion.uncertain_below:.0%}"),
        (
            "Deletion of the record",
            f"after {settings.record.days} days" if settings.record.enabled else "nothing is recorded",
        ),
    ]
    return "## 4. Safeguards of this board\n\n" + _table(("", ""), rows)


def _figures(card: EmotionCard) -> Mapping[str, Any] | None:
    """Return the card's figures of the primary output: of the int8 file on PrivateTest if it has those, else others."""
    own = [figure for figure in card.metrics if figure.get("output") == card.primary.name]
    for wanted in (("int8", "PrivateTest"), (None, "PrivateTest"), (None, None)):
        for figure in own:
            if wanted[0] in (None, figure.get("precision")) and wanted[1] in (None, figure.get("split")):
                return figure
    return None


def _errors(card: EmotionCard) -> str:
    figure = _figures(card)
    text = "## 5. How wrong it is\n\n"
    if figure is None:
        return text + f"The model's card has no figures for what it publishes: {OPEN}"
    low, high = figure.get("accuracy_interval", (figure["accuracy"],) * 2)
    text += (
        f"{card.name} {card.version} gives {figure['accuracy']:.2%} of {figure['rows']} faces the label that people "
        f"gave them (95% interval {low:.1%} to {high:.1%}; {figure.get('data_set', 'data set')} "
        f"{figure.get('split', '')}, {figure.get('precision', '')}). Of the faces with each label it finds:\n\n"
    )
    recall = sorted(figure["recall"].items(), key=lambda one: -one[1])
    text += _table(("expression", "found"), [(name, f"{share:.0%}") for name, share in recall])
    return f"{text}\n\n{_evenness(card)}" + (
        "\n\nFaces before this board differ from those of the data set (distance, light, masks, profiles). An "
        f"expression is weak evidence of what a person feels. What a wrong estimate does to a person here: {OPEN}"
    )


def _evenness(card: EmotionCard) -> str:
    """Describe the card's accuracy by group of people: single groups, not their combinations."""
    rows = [row for row in card.parity.get("rows", ()) if ", " not in row["group"]]
    if not rows:
        return "The card has no figures by age, sex or skin tone: expect that the errors differ between groups."
    found = [(row["group"], f"{row['faces']:,}", f"{row['found'][0]:.1%}", f"{row['uncertain']:.1%}") for row in rows]
    head = ("group", "faces", "found", "published as uncertain")
    return f"By group, as the card has it. {card.parity.get('note', '')}\n\n{_table(head, found)}"


def _risks(settings: Settings) -> str:
    record, web, mqtt = settings.record, settings.web, settings.mqtt
    kept = (
        f"emotions and times of {record.days} days, no image; the file is not encrypted"
        if record.enabled
        else "nothing is stored"
    )
    pictures = [
        name
        for name, so in (
            ("the page", web.enabled and web.images and is_shared(web)),
            ("MQTT snapshots", _sends_snapshots(settings)),
            ("a server (cut-out faces)", bool(settings.emotion.server)),
        )
        if so
    ]
    rows = [
        ("People do not know that they are analysed", _told(settings), OPEN),
        (
            "People act differently, or stay away, because they are watched",
            _privacy_switch(settings) or "no switch within reach: no broker and no button is set",
            OPEN,
        ),
        ("A wrong estimate is taken for a fact about a person", "confidence, `uncertain`, the notice's words", OPEN),
        ("Errors fall on some groups more than on others", "see section 5", OPEN),
        (
            "Pictures get into wrong hands",
            f"pictures leave by {' and '.join(pictures)}" if pictures else "no picture leaves the board",
            OPEN,
        ),
        ("The board or its card is stolen", kept, OPEN),
        (
            "Times together with other data show who was there",
            f"{kept}; {'subscribers of the broker' if mqtt.host else 'no broker'}",
            OPEN,
        ),
        ("The purpose grows: another use, another place", "none in software", OPEN),
    ]
    return "## 6. Risks to people, and what remains\n\n" + _table(
        ("risk", "what this board does", "remaining risk and further measures"), rows
    )


def _checklist(settings: Settings) -> str:
    """List what a deployer must have done, ticked where the settings show that it is."""
    web, mqtt = settings.web, settings.mqtt
    points = [
        (None, "Not at a workplace or in education, unless for medical or safety reasons (AI Act, Article 5(1)(f))"),
        (
            bool(settings.notice.controller and settings.notice.contact),
            "Controller and contact are in the settings (`notice.*`)",
        ),
        (bool(settings.notice.purpose), "The purpose is in the settings (`notice.purpose`)"),
        (
            None,
            "The notice hangs where people see it before they are in view (AI Act, Article 50(3); GDPR, Article 13)",
        ),
        (
            None,
            "Duties of a high-risk system (AI Act, Article 6(2) with Annex III, point 1(c)) are known and planned for",
        ),
        (
            not settings.record.enabled or settings.record.days <= 30,
            "A record, if any, is kept for 30 days at most, or longer for a written reason",
        ),
        (not is_shared(web) or web.cert_file is not None, "The page is for this board alone, or encrypted"),
        (
            not mqtt.host or mqtt.tls or mqtt.host in ("localhost", "127.0.0.1"),
            "MQTT is encrypted, or stays on this board",
        ),
        (not _sends_snapshots(settings), "No picture can be asked for over MQTT"),
        (None, "Somebody answers requests for access, erasure and objection (GDPR, Articles 15, 17 and 21)"),
        (None, "The record of processing activities has an entry (GDPR, Article 30)"),
        (None, "People who see the results know that they are estimates, and decide about nobody by them"),
    ]
    lines = [f"- [{'x' if done else ' '}] {text}" for done, text in points]
    return (
        f"## 7. Checklist of the deployer\n\nArticles as of {LAW_AS_OF}; `docs/privacy.md` of Emotion Edge has more. "
        "Ticked is what the settings show.\n\n" + "\n".join(lines)
    )


def _decision() -> str:
    return f"""## 8. Decision

- Whether the remaining risk is acceptable, or the supervisory authority is asked first (Article 36): {OPEN}
- Advice of the data protection officer (Article 35(2)): {OPEN}
- Decided by, on: {OPEN}
- To be reviewed on, and whenever the settings, the place or the purpose change: {OPEN}"""
