"""Writes a released committee: `committee.json` for the board and `CARD.md` for people, with measured figures."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from edge.emotion.committee import COMMITTEE_FILE, CommitteeFile, Member, Rule, open_local
from edge.errors import EmotionEdgeError
from edge.models.card import EmotionCard, read_card
from edge.models.released import model_dir
from edge.models.runtime import choose
from quantize.atomic_folder import arriving
from quantize.card import figure_facts
from quantize.card_text import COMMITTEE_TEXT, USE_TEXT, class_table
from training.datasets.dataset import Dataset
from training.evaluation.figures import SEEN
from training.evaluation.findings import Findings, find
from training.evaluation.judge import COMMITTEE, views_of
from training.evaluation.metrics import bootstrap_rows

_RULES: Final[Mapping[Rule, str]] = {
    "vote": "Networks that vote on each face: {members}. The most votes win; where labels have equally many, {leader} "
    "decides between them.",
    "mean": "Networks that judge each face together: {members}. What they say is what is most probable in the mean of "
    "them all.",
}
_MIRROR = " Each member sees each face and its mirror image, and says the mean of the two: at twice the cost."


def write_committee(
    members: Sequence[str],
    out: Path,
    version: str,
    mirror: bool,
    rule: Rule,
    command: str,
    data: Dataset,
    final: bool,
) -> Path:
    """Measure a committee and write `out`/committee.json and CARD.md.

    Args:
        members: Released models by name, or their folders; the first one is the leader.
        out: Folder to write.
        version: The committee's version.
        mirror: Whether each member averages over the face and its mirror image.
        rule: `vote` or `mean`.
        command: Command that makes the committee, for its card.
        data: Data set of the figures.
        final: Whether PrivateTest is measured, too.

    Returns:
        The path of committee.json.

    Raises:
        EmotionEdgeError: A member is no released model, or members cannot decide together; nothing is written.
    """
    if len(members) < 2:
        raise EmotionEdgeError(f"committee {out}: wants two members or more")
    pins = tuple(Member(model=name, sha256=read_card(EmotionCard, model_dir(name)).sha256) for name in members)
    content = CommitteeFile(name=out.resolve().name, version=version, members=pins, mirror=mirror, rule=rule)
    with arriving(out) as coming:
        _write(coming, content, {})
        open_local(str(coming), choose())
        found = find([coming], data, final)
        _write(coming, content, {"command": command, "metrics": _metrics(found)})
        (coming / "CARD.md").write_text(_text(content, command, found), encoding="utf-8")
    return out / COMMITTEE_FILE


def _write(folder: Path, content: CommitteeFile, more: dict[str, Any]) -> None:
    text = json.dumps(content.model_dump(mode="json") | more, indent=1)
    (folder / COMMITTEE_FILE).write_text(text + "\n", encoding="utf-8")


def _metrics(found: Findings) -> list[dict[str, Any]]:
    """Figures of the committee, one entry per split and label set."""
    return [
        figure_facts(result.figures[COMMITTEE], found.part.name, views_of(found.members))
        | {"runtime": found.members[0].kind}
        for results in found.results
        for result in results
    ]


def _text(content: CommitteeFile, command: str, found: Findings) -> str:
    last = found.results[-1]
    return COMMITTEE_TEXT.substitute(
        name=content.name,
        version=content.version,
        how=_RULES[content.rule].format(
            members=", ".join(member.model for member in content.members), leader=content.members[0].model
        ),
        mirror=_MIRROR if content.mirror else "",
        views=SEEN[views_of(found.members)],
        use=USE_TEXT,
        command=command,
        figures=_figures(found),
        gains="\n".join(_gains(found)),
        protocols="\n".join(f"- {result.task.label_set}: {result.task.protocol}." for result in last),
        classes="\n\n".join(class_table(result.figures[COMMITTEE], "committee") for result in last),
        pins="\n".join(f"- {member.model}: `{member.sha256}`" for member in content.members),
    )


def _figures(found: Findings) -> str:
    """Table of accuracies: a line per voter, a column per split and label set."""
    results = [result for each in found.results for result in each]
    titles = [f"{result.split.removesuffix('Test')} {result.task.label_set}" for result in results]
    lines = ["| | " + " | ".join(titles) + " |", "|---" * (len(titles) + 1) + "|"]
    for voter in results[0].figures:
        cells = [f"{result.figures[voter].accuracy:.2%}" for result in results]
        lines.append(f"| {voter} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _gains(found: Findings) -> list[str]:
    """Sentences on the gain of the committee over its leader, and on the loss by a detector's jitter."""
    lines = []
    leader = found.members[0].name
    for result in found.results[-1]:
        gain = [(result.predictions[voter].labels == result.true).astype(float) for voter in (COMMITTEE, leader)]
        low, high = bootstrap_rows(lambda one: float(one.mean()), gain[0] - gain[1])
        lost = next(
            one.drop for one in found.jitters if (one.voter, one.label_set) == (COMMITTEE, result.task.label_set)
        )
        lines.append(
            f"- {result.task.label_set}, {result.split}: {100 * (gain[0] - gain[1]).mean():+.2f} points over "
            f"{leader} alone (95% interval {100 * low:+.2f} to {100 * high:+.2f}); {-100 * lost:+.2f} with boxes as a "
            "detector jitters them."
        )
    return lines
