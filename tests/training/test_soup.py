"""Model soups: the mean of the weights, and the record of its origin."""

from pathlib import Path

import numpy as np
import pytest

from edge.errors import EmotionEdgeError
from tests.support.fer2013_files import TINY

keras = pytest.importorskip("keras", reason="the training extra is not installed")

from training.config import CONFIG_FILE, TrainingConfig, read_config, write_config  # noqa: E402
from training.evaluation.figures import load_network, predict  # noqa: E402
from training.networks import build_network  # noqa: E402
from training.soup import soup  # noqa: E402

CLASSES = {"ferplus8": 8, "fer7": 7}


def make_run(folder: Path, seed: int, stem: int = 16) -> Path:
    """Write a run with random weights."""
    options = {"stem": stem, "widths": [16, 24], "blocks": [1, 1]}
    settings = {**TINY, "name": folder.name, "options": options, "epochs": 1, "seed": seed}
    config = TrainingConfig.model_validate(settings)
    keras.utils.set_random_seed(seed)
    network = build_network(config.network, keras, config.input.shape, CLASSES, config.options)
    folder.mkdir(parents=True)
    network.save(folder / "network.keras")
    write_config(config, folder / CONFIG_FILE)
    return folder


def test_the_mean_lies_between_and_says_what_it_is_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runs = [make_run(Path("runs/first"), 1), make_run(Path("runs/second"), 2)]
    made = load_network(soup(runs, Path("runs/mean")).parent)
    first, second = map(load_network, runs)
    for mean, a, b in zip(made.weights, first.weights, second.weights, strict=True):
        np.testing.assert_allclose(np.asarray(mean), (np.asarray(a) + np.asarray(b)) / 2, atol=1e-6)
    images = np.random.default_rng(0).integers(0, 256, (4, 48, 48), dtype=np.uint8)
    assert not np.allclose(predict(made, images)["fer7"], predict(second, images)["fer7"], atol=1e-3)
    config = read_config(Path("runs/mean/config.yaml"))
    assert (config.name, config.seed, config.mean_of) == ("mean", 2, (Path("runs/first"), Path("runs/second")))


def test_the_commands_that_make_a_mean_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tf_keras", reason="the training extra is not installed")
    from quantize.made_by import made_by

    monkeypatch.chdir(tmp_path)
    make_run(Path("runs/first"), 1)
    write = read_config(Path("runs/first/config.yaml"))
    went_on = write.model_copy(update={"name": "second", "options": {"weights": "runs/first/network.keras"}})
    make_run(Path("runs/second"), 2)
    write_config(went_on, Path("runs/second/config.yaml"))
    soup([Path("runs/first"), Path("runs/second")], Path("runs/mean"))
    # Each command once, although the second run starts from the first.
    assert made_by(read_config(Path("runs/mean/config.yaml"))) == [
        "emotion-train fit runs/first/config.yaml",
        "emotion-train fit runs/second/config.yaml",
        "emotion-train soup runs/first runs/second --out runs/mean",
    ]


def test_what_has_no_mean_is_refused(tmp_path: Path) -> None:
    first, second = make_run(tmp_path / "first", 1), make_run(tmp_path / "second", 2)
    wide = make_run(tmp_path / "wide", 3, stem=24)
    with pytest.raises(EmotionEdgeError, match="takes two runs or more"):
        soup([first, first], tmp_path / "mean")
    with pytest.raises(EmotionEdgeError, match=r"wide: not the same network as .*first"):
        soup([first, wide], tmp_path / "mean")
    with pytest.raises(EmotionEdgeError, match=r"none/network.keras: not there; train it first"):
        soup([first, tmp_path / "none"], tmp_path / "mean")
    assert not (tmp_path / "mean").exists()
    with pytest.raises(EmotionEdgeError, match="second: holds a run already"):
        soup([first, second], second)
