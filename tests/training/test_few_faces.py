"""Training on few faces: initial weights, and early stopping."""

import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("keras", reason="the training extra is not installed")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras

from edge.errors import EmotionEdgeError
from edge.labels import LABEL_SETS
from tests.conftest import ROOT
from training.average import load_state, save_state
from training.history import best_epoch, stale, write_history
from training.networks import build_network

RELEASED = ROOT / "models" / "emotion-small" / "network.keras"
OPTIONS = {"stem": 32, "widths": [32, 48, 80], "blocks": [2, 2, 2]}


def begun(*heads: str) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    """Logits of a network initialised with the released one's weights, by head."""
    sizes = {head: 2 if head == "affect" else len(LABEL_SETS.get(head, head.split("-"))) for head in heads}
    network = build_network("plain_residual", keras, (48, 48, 1), sizes, {**OPTIONS, "weights": str(RELEASED)})
    return {head: np.asarray(values) for head, values in network(images(), training=False).items()}


def images() -> np.ndarray:  # type: ignore[type-arg]
    return np.random.default_rng(0).random((8, 48, 48, 1), np.float32)


def test_a_head_begins_with_the_rows_of_the_classes_that_the_trained_network_knows() -> None:
    released = keras.models.load_model(RELEASED, compile=False)(images(), training=False)
    ferplus8 = dict(zip(LABEL_SETS["ferplus8"], np.asarray(released["ferplus8"]).T, strict=True))
    mine = begun("happy-neutral-sad-surprise")["happy-neutral-sad-surprise"]
    for column, name in enumerate(("happy", "neutral", "sad", "surprise")):
        assert mine[:, column] == pytest.approx(ferplus8[name], abs=1e-4)


def test_heads_of_the_same_name_are_taken_whole_and_merged_classes_are_the_mean_of_their_parts() -> None:
    released = keras.models.load_model(RELEASED, compile=False)(images(), training=False)
    found = begun("fer7", "affect", "compact4")
    assert found["fer7"] == pytest.approx(np.asarray(released["fer7"]), abs=1e-4)
    assert found["affect"] == pytest.approx(np.asarray(released["affect"]), abs=1e-4)
    own = dict(zip(LABEL_SETS["ferplus8"], np.asarray(released["ferplus8"]).T, strict=True))
    parts = np.mean([own[name] for name in ("angry", "contempt", "disgust", "fear", "sad")], axis=0)
    negative = found["compact4"][:, LABEL_SETS["compact4"].index("negative")]
    assert negative == pytest.approx(parts + np.log(5), abs=1e-4)


def test_of_equally_good_epochs_the_one_of_lower_loss_is_kept(tmp_path: Path) -> None:
    for epoch, (public, loss) in enumerate(((0.5, 1.2), (0.75, 1.1), (0.75, 0.9), (0.75, 1.0))):
        write_history(tmp_path, epoch, {"public": public, "public_loss": loss})
    assert [best_epoch(tmp_path, epochs) for epochs in range(5)] == [-1, 0, 1, 2, 2]


def test_patience_begins_after_the_warm_up(tmp_path: Path) -> None:
    for epoch, public in enumerate((0.5, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4)):
        write_history(tmp_path, epoch, {"public": public, "public_loss": 1.0})
    assert [stale(tmp_path, epochs, 2, warmup_epochs=3.5) for epochs in range(8)] == [False] * 6 + [True] * 2


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, variable = tmp_path / "state.npz", keras.Variable([0.0, 0.0])
    for epoch in (1, 2):
        variable.assign([float(epoch)] * 2)
        save_state(path, {"network": [variable]}, epoch)
    assert load_state(path, {"network": [variable]}) == 2
    path.write_bytes(path.read_bytes()[:200])
    assert load_state(path, {"network": [variable]}) == 1
    assert np.asarray(variable).tolist() == [1, 1]
    assert "state.npz: damaged" in caplog.text
    (tmp_path / "state.before.npz").write_bytes(b"PK")
    with pytest.raises(EmotionEdgeError, match="and so is the state before it"):
        load_state(path, {"network": [variable]})
    assert load_state(tmp_path / "other.npz", {"network": [variable]}) == 0
