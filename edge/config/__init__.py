"""The settings: their types, how they are read, and which can change while the daemon runs."""

from edge.config.fields import setting_names
from edge.config.settings import (
    ENV_PREFIX,
    INSTANCE_VARIABLE,
    CameraSettings,
    DetectorSettings,
    DisplaySettings,
    EmotionSettings,
    GpioSettings,
    MqttSettings,
    PaceSettings,
    RecordSettings,
    Settings,
    WebSettings,
    reaches_network,
)

__all__ = [
    "ENV_PREFIX",
    "INSTANCE_VARIABLE",
    "CameraSettings",
    "DetectorSettings",
    "DisplaySettings",
    "EmotionSettings",
    "GpioSettings",
    "MqttSettings",
    "PaceSettings",
    "RecordSettings",
    "Settings",
    "WebSettings",
    "reaches_network",
    "setting_names",
]
