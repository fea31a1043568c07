"""Figures after each epoch in history and report, and a network of valence and arousal alone."""

import csv
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from edge.labels import circumplex_of, labels_of
from tests.support.fer2013_files import TINY, write_files
from tests.training.test_datasets_layouts import write_classes
from training.cli import main
from training.config import read_config
from training.datasets import read_dataset
from training.datasets.derived_affect import with_derived_affect
from training.evaluation.members import open_members
from training.reporting.blocks import Beside, Plot
from training.reporting.details import curves_part


def history(run: Path) -> list[dict[str, str]]:
    with (run / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def fit(folder: Path, name: str, **changes: object) -> Path:
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump({**TINY, "name": name, "epochs": 3, **changes}))
    assert main(["fit", str(file)]) == 0
    return folder / "runs" / name


def test_each_epoch_has_its_figures_by_head_and_the_report_draws_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = fit(
        tmp_path, "both", heads={"fer7": 1.0, "affect": 0.5}, data={"path": str(write_files(tmp_path / "data", 70))}
    )
    rows = history(run)
    for part in ("public", "training"):
        for figure in ("_fer7", "_fer7_f1", "_fer7_loss", "_loss", "_valence", "_arousal", ""):
            assert all(row[f"{part}{figure}"] for row in rows)
        assert all(row[f"{part}_fer7"] == row[part] for row in rows)
    rates = [float(row["learning_rate"]) for row in rows]
    assert rates[0] == max(rates) == pytest.approx(0.01, rel=0.2)
    assert 0 < rates[2] < 0.001
    (member,) = open_members([run], read_dataset(tmp_path / "data"))
    found: list[Plot] = []
    for block in curves_part(SimpleNamespace(members=(member,))).blocks:  # type: ignore[arg-type]
        found += [plot for plot in block.blocks if isinstance(plot, Plot)] if isinstance(block, Beside) else []
    assert [plot.alt.split(" by epoch")[0] for plot in found] == [
        "Accuracy",
        "Macro f1",
        "CCC",
        "Loss",
        "Learning rate",
    ]
    assert "fer7, augmented" in found[3].alt
    assert "fer7, PublicTest" in found[3].alt


def test_valence_and_arousal_alone_are_learned_and_judged_by_ccc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Valence and arousal are derived from the labels of fer2013.csv, without FER+'s votes."""
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path / "data", 140)
    (tmp_path / "data" / "fer2013new.csv").unlink()
    run = fit(tmp_path, "alone", heads={"affect": 1.0}, epochs=4, data={"path": str(tmp_path / "data")})
    rows = history(run)
    for row in rows:
        mean = (float(row["public_valence"]) + float(row["public_arousal"])) / 2
        assert float(row["public"]) == pytest.approx(mean, abs=1e-4)
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"]) / 3
    capsys.readouterr()
    assert main(["evaluate", str(run)]) == 0
    printed = capsys.readouterr().out
    assert "derived from the labels on the circumplex, not measured" in printed
    best = max(float(row["public"]) for row in rows)
    values = [
        float(line.split("|")[4].split("(")[0]) for line in printed.splitlines() if line.startswith("| PublicTest")
    ]
    assert sum(values) / 2 == pytest.approx(best, abs=0.002)
    assert main(["report", str(run)]) == 2
    assert "valence and arousal alone" in capsys.readouterr().err
    (tmp_path / "balanced.yaml").write_text(
        yaml.safe_dump({**TINY, "epochs": 1, "heads": {"affect": 1.0}, "sampling": "balanced"})
    )
    with pytest.raises(Exception, match="sampling: balanced: needs a head with labels"):
        read_config(tmp_path / "balanced.yaml")


def test_derived_values_are_the_labels_places_and_say_so(tmp_path: Path) -> None:
    data = with_derived_affect(read_dataset(write_classes(tmp_path, labels_of("fer7"), 3)))
    assert data.affect_derived
    assert data.affect is not None
    labels = data.labels["fer7"]
    assert (data.affect == circumplex_of(labels.names)[labels.judged]).all()
