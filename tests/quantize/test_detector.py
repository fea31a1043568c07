"""YuNet from ONNX to int8: the rebuilt graph gives the same results as OpenCV with the same file."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from edge.errors import EmotionEdgeError
from edge.faces.yunet import LANDMARK_SCALE, LOGIT_FLOOR, SIZES, STRIDES, YuNet, letterbox
from edge.models.card import MODEL_FILE, Card, sha256_of, write_card
from edge.models.runtime import choose
from edge.reading import Box
from quantize.detector import (
    ONNX_CACHE,
    calibration_frames,
    check_onnx,
    convert,
    equalize,
    fetch_onnx,
    input_spec,
    network,
)
from quantize.onnx_graph import Graph, read_graph, run
from training.synthetic.compose import read_faces

onnx = pytest.importorskip("onnx", reason="the training extra is not installed")
pytest.importorskip("tensorflow", reason="the training extra is not installed")
data = pytest.importorskip("skimage.data", reason="scikit-image is not installed")

Floats = npt.NDArray[np.float32]
WIDTH, HEIGHT = SIZE = SIZES[160]


@pytest.fixture(scope="module")
def yunet_file() -> Path:
    try:
        return fetch_onnx(ONNX_CACHE)
    except EmotionEdgeError as error:
        pytest.skip(f"YuNet's ONNX file cannot be had: {error}")


@pytest.fixture(scope="module")
def faces(fer2013_dir: Path) -> npt.NDArray[np.uint8]:
    return read_faces(fer2013_dir, "Training")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX file with each of YuNet's operations once, and channels of very different ranges."""
    make, rng = onnx.helper.make_node, np.random.default_rng(0)
    reach = np.array([0.01, 1, 30, 1000], np.float32)
    weights = {
        "w0": rng.normal(0, 0.3, (4, 3, 3, 3)),
        "b0": rng.normal(0, 0.3, 4),
        "w1": rng.normal(0, 0.3, (4, 4, 1, 1)) * reach[:, None, None, None],
        "b1": rng.normal(0, 0.3, 4) * reach,
        "w2": rng.normal(0, 0.3, (4, 1, 3, 3)) / reach[:, None, None, None],
        "b2": rng.normal(0, 0.3, 4),
    }
    tensors = [onnx.numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    tensors.append(onnx.numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "twice"))
    plain = {"dilations": [1, 1], "strides": [1, 1]}
    three, one = {"kernel_shape": [3, 3], "pads": [1] * 4}, {"kernel_shape": [1, 1], "pads": [0] * 4}
    nearest = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    nodes = [
        make("Conv", ["image", "w0", "b0"], ["a"], group=1, dilations=[1, 1], strides=[2, 2], **three),
        make("Relu", ["a"], ["b"]),
        make("Conv", ["b", "w1", "b1"], ["between"], group=1, **plain, **one),
        make("Conv", ["between", "w2", "b2"], ["c"], group=4, **plain, **three),
        make("MaxPool", ["c"], ["d"], kernel_shape=[2, 2], strides=[2, 2]),
        make("Resize", ["d", "", "twice"], ["e"], **nearest),
        make("Add", ["b", "e"], ["f"]),
        make("Sigmoid", ["f"], ["g"]),
    ]
    info, kind = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    outputs = [info(name, kind, [1, 4, 8, 12]) for name in ("f", "g")]
    graph = onnx.helper.make_graph(nodes, "tiny", [info("image", kind, [1, 3, 16, 24])], outputs, tensors)
    path = tmp_path_factory.mktemp("onnx") / "tiny.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 11)], ir_version=6), str(path))
    return path


def picture(height: int, width: int) -> npt.NDArray[np.uint8]:
    canvas = np.zeros((height, width, 3), np.uint8)
    letterbox(np.asarray(cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2BGR), np.uint8), canvas)
    return canvas


def by_opencv(path: Path, image: npt.NDArray[np.uint8], names: list[str]) -> dict[str, Floats]:
    net = cv2.dnn.readNetFromONNX(str(path))
    net.setInput(cv2.dnn.blobFromImage(image))
    return {name: np.asarray(value) for name, value in zip(names, net.forward(names), strict=True)}


def test_each_operation_computes_what_opencv_computes(tiny: Path) -> None:
    image = picture(16, 24)
    ours = np.asarray(run(read_graph(tiny), np.float32(image[None]), ["f"])["f"])
    theirs = by_opencv(tiny, image, ["f"])["f"].transpose(0, 2, 3, 1)
    assert ours.shape == theirs.shape == (1, 8, 12, 4)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-3)


def test_equalizing_evens_the_channels_and_keeps_the_result(tiny: Path) -> None:
    image = picture(16, 24)
    graph = read_graph(tiny)
    even = equalize(graph, [image])

    def values(of: Graph) -> dict[str, Floats]:
        return {name: np.asarray(it) for name, it in run(of, np.float32(image[None]), ["between", "f"]).items()}

    before, after = values(graph), values(even)
    np.testing.assert_allclose(after["f"], before["f"], rtol=1e-4, atol=1e-3)
    assert np.ptp(np.log10(np.abs(before["between"]).max((0, 1, 2)))) > 2
    np.testing.assert_allclose(np.abs(after["between"]).max((0, 1, 2)), 1, rtol=1e-4)


def test_what_is_not_supported_is_named(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(EmotionEdgeError, match="Sigmoid"):
        run(read_graph(tiny), np.zeros((1, 16, 24, 3), np.float32), ["g"])
    with pytest.raises(EmotionEdgeError, match="nothing makes the tensor 'other'"):
        run(read_graph(tiny), np.zeros((1, 16, 24, 3), np.float32), ["other"])
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no network at all")
    with pytest.raises(EmotionEdgeError, match=r"broken\.onnx: cannot be read"):
        read_graph(broken)


def test_another_file_than_yunets_is_refused(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(EmotionEdgeError, match="SHA-256"):
        check_onnx(tiny)
    with pytest.raises(EmotionEdgeError, match="not there"):
        check_onnx(tmp_path / "gone.onnx")


def test_the_rebuilt_yunet_computes_what_opencv_computes(yunet_file: Path) -> None:
    image = picture(HEIGHT, WIDTH)
    built = network(read_graph(yunet_file), np.float32(image[None]))
    scores, geometry = (np.asarray(built[name])[0] for name in ("scores", "geometry"))
    kinds = ("cls", "obj", "bbox", "kps")
    theirs = by_opencv(yunet_file, image, [f"{kind}_{stride}" for kind in kinds for stride in STRIDES])
    cls, obj, bbox, kps = (np.concatenate([theirs[f"{kind}_{it}"][0] for it in STRIDES]) for kind in kinds)
    probabilities = 1 / (1 + np.exp(-(scores + LOGIT_FLOOR)))
    floor = 1 / (1 + np.exp(-LOGIT_FLOOR))
    np.testing.assert_allclose(probabilities, np.maximum(np.hstack([cls, obj]), floor), atol=1e-4)
    np.testing.assert_allclose(geometry, np.hstack([bbox, kps / LANDMARK_SCALE]), atol=1e-3)


def test_calibration_frames_use_the_whole_range_and_repeat(faces: npt.NDArray[np.uint8]) -> None:
    first, second = (np.stack(list(calibration_frames(faces, SIZE, 4))) for _ in range(2))
    assert first.shape == (4, HEIGHT, WIDTH, 3)
    np.testing.assert_array_equal(first, second)
    assert int(first.min()) == 0
    assert int(first.max()) == 255


def test_a_converted_network_finds_the_face(yunet_file: Path, faces: npt.NDArray[np.uint8], tmp_path: Path) -> None:
    frames = list(calibration_frames(faces, SIZE, 12))
    model = tmp_path / MODEL_FILE
    model.write_bytes(convert(equalize(read_graph(yunet_file), frames), frames))
    spec = input_spec(model)
    assert (spec.width, spec.height, spec.dtype, spec.scale, spec.zero_point) == (WIDTH, HEIGHT, "int8", 1.0, -128)
    card = Card(name="x", version="1", sha256=sha256_of(model), input=spec, licence="MIT", command="")
    write_card(card, tmp_path)
    (found,) = YuNet(tmp_path, 0.6, choose()).detect(picture(512, 512))
    assert found.box.iou(Box(180, 68, 91, 108)) > 0.7
