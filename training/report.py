"""Report on a network or a committee, as an HTML page, as Markdown, and as text for the terminal."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from edge.errors import EmotionEdgeError
from training.datasets.dataset import Dataset
from training.evaluation.affect_alone import affect_alone_text, is_affect_alone
from training.evaluation.findings import find
from training.reporting.blocks import to_html, to_markdown
from training.reporting.sections import lead_of, notices_of, parts_of, title_of

HTML_FILE: Final = "report.html"
MARKDOWN_FILE: Final = "report.md"


def report(
    folders: Sequence[Path], data: Dataset, out: Path, final: bool = False, label_sets: Sequence[str] = ()
) -> tuple[Path, Path]:
    """Evaluate networks and write report.html and report.md into `out`; the first network is the leader.

    As the HTML contains pictures of faces, `out` gets a .gitignore that keeps it out of a repository.

    Args:
        folders: Folders of runs or released models.
        data: The data set.
        out: Folder to write.
        final: True also evaluates on PrivateTest, for the final figure.
        label_sets: Further label sets, besides those of the networks and the data set.

    Returns:
        The paths of report.html and report.md.

    Raises:
        EmotionEdgeError: A folder holds no network, a split no faces, or a label set does not apply.
    """
    if is_affect_alone(folders):
        raise EmotionEdgeError(
            f"{folders[0]}: predicts valence and arousal alone; `emotion-train evaluate` has its figures, history.csv "
            "and TensorBoard those of each epoch"
        )
    found = find(folders, data, final, label_sets, attention=True)
    out.mkdir(parents=True, exist_ok=True)
    html, markdown = out / HTML_FILE, out / MARKDOWN_FILE
    (out / ".gitignore").write_text(f"# It holds pictures of people.\n{HTML_FILE}\n", encoding="utf-8")
    content = title_of(found), lead_of(found), parts_of(found), notices_of(found)
    html.write_text(to_html(*content), encoding="utf-8")
    markdown.write_text(to_markdown(*content), encoding="utf-8")
    return html, markdown


def evaluate(folders: Sequence[Path], data: Dataset, final: bool = False, label_sets: Sequence[str] = ()) -> str:
    """Evaluate networks and return the report as text.

    Args:
        folders: Folders of runs or released models.
        data: The data set.
        final: True also evaluates on PrivateTest, for the final figure.
        label_sets: Further label sets, besides those of the networks and the data set.

    Raises:
        EmotionEdgeError: A folder holds no network, a split no faces, or a label set does not apply.
    """
    if is_affect_alone(folders):
        return affect_alone_text(folders, data, final)
    found = find(folders, data, final, label_sets)
    return to_markdown(title_of(found), lead_of(found), parts_of(found), notices_of(found))
