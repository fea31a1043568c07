"""VGG-Face: Parkhi, Vedaldi, Zisserman, "Deep face recognition" (2015): VGG16 of Simonyan and Zisserman (2014).

keras.applications' VGG16 without its dense layers. `weights: imagenet` is Keras's VGG16. An .h5 file is taken to be
VGG-Face in Keras's older format, with the thirteen convolutions in their order, and the means of VGG-Face's release are
subtracted from the pixels. Those weights are their authors', who give them for non-commercial research.
"""

from collections.abc import Mapping
from typing import Any, Final

from training.networks.about import SIGNED, About, Scaling
from training.networks.common import adapted, prepared, with_heads

IMAGENET_MEANS: Final = (-103.939, -116.779, -123.68)
FACE_MEANS: Final = (-93.594, -104.7624, -129.1863)
"""Offsets that subtract VGG-Face's means from pixels of 0 to 255: blue, green, red."""


def imagenet(keras: Any, options: Mapping[str, Any]) -> Any:  # noqa: ARG001
    """The network of keras.applications with ImageNet weights."""
    return keras.applications.VGG16(include_top=False, weights="imagenet")


ABOUT: Final = About(
    source="Parkhi et al., Deep face recognition (2015): VGG16",
    parameters=14_722_257,
    multiply_adds=702_046_720,
    int8="yes; larger than the Edge TPU's 8 MB of memory",
    imagenet=imagenet,
    scaling=(255.0, IMAGENET_MEANS),
    scaling_of_files=(255.0, FACE_MEANS),
    rgb=False,
)


def build(
    keras: Any,
    input_shape: tuple[int, int, int],
    heads: Mapping[str, int],
    *,
    width: float = 1.0,
    dropout: float = 0.5,
    scaling: Scaling = SIGNED,
) -> Any:
    """Build the network with the given keras module.

    Images must be 32x32 or larger. Without batch normalization, training from random weights needs He's initialisation
    (2015), which is used here, and a low learning rate (3e-4).

    Args:
        keras: `keras` or `tf_keras`.
        input_shape: Height, width and channels.
        heads: Number of outputs by head.
        width: Factor of all channels.
        dropout: Dropout rate of the pooled features, 0 to 1.
        scaling: Scaling of the pixels, set together with the weights.
    """
    _, x = prepared(keras, input_shape, scaling)
    body = keras.applications.VGG16(include_top=False, weights=None, input_tensor=x)
    image, features = adapted(keras, body, {}, width=width, everywhere={"kernel_initializer": "he_normal"})
    return with_heads(keras, image, features, heads, dropout, "vgg_face")
