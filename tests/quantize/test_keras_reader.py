"""Third-party Keras networks are read with unchanged outputs, from either Keras version and any precision."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.errors import EmotionEdgeError

keras = pytest.importorskip("keras", reason="the training extra is not installed")
tf_keras = pytest.importorskip("tf_keras", reason="the training extra is not installed")

from quantize.convert import output_names  # noqa: E402
from quantize.keras_reader import read_keras  # noqa: E402

IMAGES = np.random.default_rng(0).random((4, 16, 16, 3), np.float32)


def functional(module: Any, listed: bool = False) -> Any:
    """Build a network with each kind of convolution, and one unnamed output."""
    layers = module.layers
    image = module.Input((16, 16, 3))
    x = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same")(image))
    x = layers.SeparableConv2D(6, 3)(layers.DepthwiseConv2D(3)(x))
    out = layers.Dense(3, dtype="float32")(layers.GlobalAveragePooling2D()(x))
    return module.Model(image, [out] if listed else out)


def sequential(module: Any) -> Any:
    layers = module.layers
    return module.Sequential([layers.Input((16, 16, 3)), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(3)])


@pytest.mark.parametrize("module", [keras, tf_keras], ids=["Keras 3", "Keras 2"])
@pytest.mark.parametrize("name", ["own.keras", "own.h5", "own.hdf5"])
@pytest.mark.parametrize("make", [functional, sequential])
def test_a_file_computes_what_it_did(module: Any, name: str, make: Any, tmp_path: Path) -> None:
    if module is keras and name == "own.hdf5":
        pytest.skip("Keras 3 writes no .hdf5")
    network = make(module)
    network.save(tmp_path / name)
    read = read_keras(tmp_path / name)
    assert np.allclose(read.predict(IMAGES, verbose=0), network.predict(IMAGES, verbose=0), atol=1e-5)
    assert len(output_names(read)) == 1


@pytest.mark.parametrize("module", [keras, tf_keras], ids=["Keras 3", "Keras 2"])
@pytest.mark.parametrize("name", ["own.keras", "own.h5"])
def test_half_precision_becomes_float32(module: Any, name: str, tmp_path: Path) -> None:
    module.mixed_precision.set_global_policy("mixed_float16")
    try:
        network = functional(module)
    finally:
        module.mixed_precision.set_global_policy("float32")
    network.save(tmp_path / name)
    read = read_keras(tmp_path / name)
    assert {layer.compute_dtype for layer in read.layers} == {"float32"}
    assert np.allclose(read.predict(IMAGES, verbose=0), network.predict(IMAGES, verbose=0), atol=0.01)


def test_one_output_in_a_list_is_one_output(tmp_path: Path) -> None:
    functional(tf_keras, listed=True).save(tmp_path / "own.h5")
    assert len(output_names(read_keras(tmp_path / "own.h5"))) == 1


def test_saved_model_folders(tmp_path: Path) -> None:
    network = functional(tf_keras)
    network.save(tmp_path / "saved", save_format="tf")
    read = read_keras(tmp_path / "saved")
    assert np.allclose(read.predict(IMAGES, verbose=0), network.predict(IMAGES, verbose=0), atol=1e-5)
    (tmp_path / "saved" / "keras_metadata.pb").unlink()
    with pytest.raises(EmotionEdgeError, match=r"save it with `model\.save\('own\.keras'\)`"):
        read_keras(tmp_path / "saved")
    with pytest.raises(EmotionEdgeError, match="no SavedModel"):
        read_keras(tmp_path)


def test_what_neither_reads_says_why(tmp_path: Path) -> None:
    (tmp_path / "own.h5").write_bytes(b"no HDF5")
    with pytest.raises(EmotionEdgeError, match=r"neither Keras 3.* nor tf_keras 2"):
        read_keras(tmp_path / "own.h5")
