"""Plugging and unplugging an Edge TPU, with a shared library in place of the driver, as there is no device."""

import logging
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge.cli import main
from edge.models import edge_tpu
from edge.models.card import MODEL_FILE
from edge.models.edge_tpu import EDGE_TPU_FILE, LIBRARY, EdgeTpu, find_edge_tpu
from edge.models.released import model_dir
from edge.models.runtime import Network, Runtime, RuntimeChoice, choose, installed
from tests.conftest import ROOT
from tests.support.broker import Mosquitto
from tests.support.daemon import Listener, running, wait_until

CHOICES: list[RuntimeChoice] = [name for name in ("ai-edge-litert", "tflite-runtime") if name in installed()]
MODEL = "yunet-160"


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Path of the delegate compiled from tests/support/libedgetpu.c, under the real one's file name."""
    compiler = shutil.which("gcc")
    if not compiler:
        pytest.skip("gcc is not installed")
    path = tmp_path_factory.mktemp("lib") / LIBRARY
    source = ROOT / "tests" / "support" / "libedgetpu.c"
    subprocess.run([compiler, "-Wall", "-Werror", "-shared", "-fPIC", "-O1", "-o", path, source], check=True)
    return path


@pytest.fixture
def unplugged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Path of a file that, while it exists, means that the device is unplugged."""
    path = tmp_path / "unplugged"
    monkeypatch.setenv("EDGE_TPU_UNPLUGGED", str(path))
    return path


@pytest.fixture
def compiled(tmp_path: Path) -> Path:
    """Folder of a detector with a file in place of a compiled one: a copy, as the delegate runs any file."""
    folder = Path(shutil.copytree(model_dir(MODEL), tmp_path / MODEL))
    shutil.copy(folder / MODEL_FILE, folder / EDGE_TPU_FILE)
    return folder


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_tpu, "FIRST_WAIT", 0.05)


def with_edge_tpu(
    library: Path, choice: RuntimeChoice = "auto", find: Callable[[], str | None] = lambda: "here"
) -> Runtime:
    return replace(choose(choice), edge_tpu=EdgeTpu(str(library), find))


def picture() -> np.ndarray[tuple[int, ...], np.dtype[np.int8]]:
    return np.random.default_rng(0).integers(-128, 128, (1, 128, 160, 3), np.int8)


@pytest.mark.parametrize("choice", CHOICES)
def test_it_runs_the_network_is_pulled_out_and_comes_back(
    library: Path, compiled: Path, unplugged: Path, choice: RuntimeChoice, caplog: pytest.LogCaptureFixture
) -> None:
    """Every call gives bit for bit the processor's result, so no frame is lost."""
    expected = Network(compiled / MODEL_FILE, choose(choice))(picture())
    caplog.set_level(logging.INFO)
    network = Network(compiled / MODEL_FILE, with_edge_tpu(library, choice))

    def answers() -> bool:
        for name, values in network(picture()).items():
            np.testing.assert_array_equal(values, expected[name])
        return network.on_edge_tpu

    assert answers()
    unplugged.touch()
    assert not answers()
    wait_until(lambda: not answers() and "no device" in caplog.text, "a look for the device while it is gone")
    unplugged.unlink()
    wait_until(answers, "a return to the Edge TPU")
    said = [record.getMessage() for record in caplog.records if record.name == edge_tpu.__name__]
    assert [text.partition(": ")[2].partition(" (")[0].partition(": ")[0] for text in said] == [
        "on the Edge TPU",
        "the Edge TPU failed",
        "on the processor, the Edge TPU cannot be used",
        "on the Edge TPU",
    ]


def test_one_that_is_plugged_in_later_is_used(library: Path, compiled: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    places: list[str] = []
    network = Network(compiled / MODEL_FILE, with_edge_tpu(library, find=lambda: places[0] if places else None))
    assert not network.on_edge_tpu
    assert f"{MODEL}: on the processor, no Edge TPU is found" in caplog.text
    places.append("USB 1-1, 18d1:9302")

    def there() -> bool:
        network(picture())
        return network.on_edge_tpu

    wait_until(there, "the use of an Edge TPU that came later")
    assert "on the Edge TPU (USB 1-1, 18d1:9302)" in caplog.text


def test_a_batch_is_its_images(library: Path, tmp_path: Path) -> None:
    """A compiled file takes one image at a time; a batch is run one by one."""
    folder = Path(shutil.copytree(model_dir("emotion-small"), tmp_path / "emotion"))
    shutil.copy(folder / MODEL_FILE, folder / EDGE_TPU_FILE)
    faces = np.random.default_rng(1).integers(-128, 128, (3, 48, 48, 1), np.int8)
    network = Network(folder / MODEL_FILE, with_edge_tpu(library))
    assert network.on_edge_tpu
    expected = Network(folder / MODEL_FILE, choose())(faces)
    for name, values in network(faces).items():
        assert values.shape == expected[name].shape
        assert np.abs(values - expected[name]).max() <= network.outputs[name].scale


def test_without_a_library_or_with_one_that_crashes_the_processor_does_it(
    library: Path, compiled: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    absent = Network(compiled / MODEL_FILE, with_edge_tpu(library.with_name("libabsent.so.1")))
    assert set(absent(picture())) == {"scores", "geometry"}
    assert "libabsent.so.1: cannot open shared object file" in caplog.text
    monkeypatch.setenv("EDGE_TPU_CRASHES", "1")
    another = Path(shutil.copy(library, compiled / LIBRARY))
    crashing = Network(compiled / MODEL_FILE, with_edge_tpu(another))
    assert set(crashing(picture())) == {"scores", "geometry"}
    assert "it crashes (signal 6)" in caplog.text


def test_a_file_compiled_from_another_model_is_not_used(
    library: Path, compiled: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copy(model_dir("yunet-320") / MODEL_FILE, compiled / EDGE_TPU_FILE)
    network = Network(compiled / MODEL_FILE, with_edge_tpu(library))
    assert not network.on_edge_tpu
    assert "is compiled from another model than the one beside it" in caplog.text


def test_it_is_found_on_usb_and_on_pcie(tmp_path: Path) -> None:
    usb, devices = tmp_path / "usb", tmp_path / "dev"
    devices.mkdir()

    def plug(place: str, vendor: str, product: str) -> None:
        (usb / place).mkdir(parents=True)
        (usb / place / "idVendor").write_text(f"{vendor}\n")
        (usb / place / "idProduct").write_text(f"{product}\n")

    assert find_edge_tpu(usb, devices) is None
    plug("1-1", "046d", "0825")
    assert find_edge_tpu(usb, devices) is None
    plug("1-2", "1a6e", "089a")
    assert find_edge_tpu(usb, devices) == "USB 1-2, 1a6e:089a"
    shutil.rmtree(usb / "1-2")
    plug("2-1", "18d1", "9302")
    assert find_edge_tpu(usb, devices) == "USB 2-1, 18d1:9302"
    (devices / "apex_0").touch()
    assert find_edge_tpu(usb, devices) == f"PCIe, {devices / 'apex_0'}"


def test_the_doctor_says_how_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor", "--runtime.accelerator", "cpu", "--camera.source", "/nowhere"])
    assert "accelerator  switched off" in capsys.readouterr().out
    main(["doctor", "--runtime.accelerator", "edgetpu", "--camera.source", "/nowhere"])
    assert f"no {EDGE_TPU_FILE} in" in capsys.readouterr().out


@pytest.fixture
def broker() -> Iterator[Mosquitto]:
    with Mosquitto() as broker:
        yield broker


def test_the_daemon_goes_on_while_it_is_pulled_out_and_put_back(
    library: Path, compiled: Path, unplugged: Path, tmp_path: Path, broker: Mosquitto
) -> None:
    flags: dict[str, object] = {
        "camera.source": ROOT / "edge" / "media" / "clip.mp4",
        "detector.file": compiled,
        "runtime.accelerator": "edgetpu",
        "mqtt.host": "127.0.0.1",
        "mqtt.port": broker.port,
    }
    log = tmp_path / "log"
    variables = {"LD_LIBRARY_PATH": str(library.parent), "EDGE_TPU_UNPLUGGED": str(unplugged)}
    listener = Listener(broker.port)

    def a_face_comes() -> None:
        since = len(listener.messages)
        listener.wait(lambda it: it.topic == "faces" and bool(it.payload["faces"]), "a face", since=since)

    try:
        with running(log, flags, **variables) as process:
            a_face_comes()
            assert f"{MODEL}: on the Edge TPU" in log.read_text()
            unplugged.touch()
            wait_until(lambda: "the Edge TPU failed" in log.read_text(), "word of the loss")
            a_face_comes()
            unplugged.unlink()
            wait_until(lambda: log.read_text().count(f"{MODEL}: on the Edge TPU") == 2, "word of the return")
            a_face_comes()
            assert process.poll() is None
    finally:
        listener.close()
    assert "Traceback" not in log.read_text()
