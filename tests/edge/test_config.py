"""Settings from file, environment and flags: their precedence, and that unknown ones are refused."""

import os
import re
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr, ValidationError

from edge.cli import main
from edge.config import ENV_PREFIX, EmotionSettings, MqttSettings, Settings, setting_names
from edge.config import load as config_load
from edge.config.fields import description_of, setting_field
from edge.config.secrets import secret_of, token_of
from edge.config.setting_types import OnReload
from edge.emotion.classifier import open_classifier
from edge.errors import EmotionEdgeError
from edge.models.runtime import choose
from tests.conftest import ROOT


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(ENV_PREFIX)]:
        monkeypatch.delenv(name)


def load(*flags: str) -> Settings:
    parser = ArgumentParser()
    config_load.add_flags(parser)
    return config_load.load(parser.parse_args(flags))


def written(folder: Path, text: str) -> str:
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_file_then_environment_then_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, "mqtt: {host: file, port: 1001, username: file}\n")
    monkeypatch.setenv("EMOTION_EDGE_MQTT_PORT", "1002")
    monkeypatch.setenv("EMOTION_EDGE_MQTT_USERNAME", "environment")
    mqtt = load("--config", path, "--mqtt.username", "flag").mqtt
    assert (mqtt.host, mqtt.port, mqtt.username) == ("file", 1002, "flag")


def test_config_file_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMOTION_EDGE_CONFIG", written(tmp_path, "web: {port: 8099}\n"))
    assert load().web.port == 8099


def test_names_with_underscores_are_reached_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMOTION_EDGE_EMOTION_UNCERTAIN_BELOW", "0.7")
    monkeypatch.setenv("EMOTION_EDGE_WEB_PASSWORD_FILE", "/run/secret")
    settings = load()
    assert settings.emotion.uncertain_below == 0.7
    assert settings.web.password_file == Path("/run/secret")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mqtt: {hots: x}\n", "mqtt.hots is not a setting (did you mean mqtt.host?)"),
        ("mqt: {host: x}\n", "mqt is not a setting (did you mean mqtt?)"),
        ("mqtt: {port: many}\n", "line 1: mqtt.port: must be a whole number from 1 to 65535, found 'many'"),
        ("mqtt: {port: 70000}\n", "mqtt.port: must be a whole number from 1 to 65535, found 70000"),
        ("mqtt: {device_id: 'living room'}\n", "mqtt.device_id: does not fit (Name of this device in topics"),
        ("pace: {max_fps: 0.2}\n", "pace.max_fps: must be 0, or 1 and more"),
        ("pace: {idle_fps: 0.5}\n", "pace.idle_fps: must be a number from 1 to 60, found 0.5"),
        ("log: {level: loud}\n", "log.level: must be debug, info, warning or error, found 'loud'"),
        ("web: {images: perhaps}\n", "web.images: must be true or false, found 'perhaps'"),
        ("camera: {fps: 0}\n", "camera.fps: must be a number above 0, up to 240, found 0"),
        ("detector: {every: never}\n", "detector.every: must be a whole number from 1 to 30 or auto, found 'never'"),
        ("detector:\n  score: 0.5\n  region: [0, 0, 2, 2]\n", "line 3: detector.region: does not fit (Where to look"),
        ("mqtt: {password: x}\n", "mqtt.password: would not be sent without a user name: set mqtt.username"),
        ('mqtt: {base_topic: "a\\0b"}\n', "mqtt.base_topic: has a NUL character"),
        ("camera: {source: 1, width: " + ":".join(["1"] * 4000) + "}\n", "from 16 to 8192, found '1:1:"),
        ("mqtt: {host: a}\ncamera: {source: 0}\nmqtt: {port: 1884}\n", "mqtt is there twice, in lines 1 and 3"),
        ("mqtt:\n  host: a\n  port: 1\n  host: b\n", "mqtt.host is there twice, in lines 2 and 4"),
        ("mqtt: host\n", "mqtt: must hold `key: value` lines"),
        ("- mqtt\n", "must hold sections such as `mqtt:`"),
        ("mqtt: {host: [\n", "is no YAML in line 2"),
        ("mqtt: {password: 2026-13-45}\n", "looks like a date or number and is none"),
    ],
)
def test_a_wrong_file_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(EmotionEdgeError, match=re.escape(message)) as caught:
        load("--config", path)
    assert path in str(caught.value)


def test_a_wrong_variable_is_refused_with_the_nearest_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMOTION_EDGE_MQTT_HOTS", "x")
    with pytest.raises(EmotionEdgeError, match=r"EMOTION_EDGE_MQTT_HOTS is not a setting .*EMOTION_EDGE_MQTT_HOST"):
        load()


def test_a_wrong_flag_is_refused_with_the_nearest_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["check-config", "--mqtt.hots", "x"])
    assert caught.value.code == 2
    assert "--mqtt.hots is not a flag of check-config (did you mean --mqtt.host?)" in capsys.readouterr().err


def test_a_wrong_value_says_which_source_it_came_from(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EmotionEdgeError, match=r"flag --mqtt\.port"):
        load("--mqtt.port", "0")
    monkeypatch.setenv("EMOTION_EDGE_WEB_PORT", "0")
    with pytest.raises(EmotionEdgeError, match="environment EMOTION_EDGE_WEB_PORT"):
        load()


def test_a_missing_file_is_an_error() -> None:
    with pytest.raises(EmotionEdgeError, match=r"/nowhere/config\.yaml: not there"):
        load("--config", "/nowhere/config.yaml")


def test_passwords_are_never_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-config", "--web.password", "hush-hush"]) == 0
    assert "hush" not in capsys.readouterr().out


def test_what_check_config_prints_is_a_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-config", "--mqtt.host", "broker.lan"]) == 0
    assert load("--config", written(tmp_path, capsys.readouterr().out)).mqtt.host == "broker.lan"


def test_the_default_file_names_every_setting_with_its_default_and_a_comment() -> None:
    path = ROOT / "systemd" / "config.yaml"
    tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert [f"{section}.{key}" for section, keys in tree.items() for key in keys] == setting_names()
    assert load("--config", str(path)) == load()
    comments: dict[str, str] = {}
    section, comment = "", []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("  # "):
            comment.append(line.removeprefix("  # "))
        elif found := re.match(r"( *)(\w+):", line):
            if found[1]:
                comments[f"{section}.{found[2]}"] = " ".join(comment)
            else:
                section = found[2]
            comment = []
    assert comments == {name: description_of(name) for name in setting_names()}


def test_numbers_and_off_are_words_where_words_are_wanted(tmp_path: Path) -> None:
    text = "camera: {source: 0}\nmqtt: {version: 5}\ndisplay: {mode: off}\n"
    settings = load("--config", written(tmp_path, text))
    assert (settings.camera.source, settings.mqtt.version, settings.display.mode) == ("0", "5", "off")


def test_an_address_with_a_scheme_is_no_host(tmp_path: Path) -> None:
    with pytest.raises(EmotionEdgeError, match=r"mqtt\.host"):
        load("--config", written(tmp_path, "mqtt: {host: 'mqtt://broker.lan'}\n"))


def test_check_config_names_what_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = {"web.password_file": tmp_path / "none", "emotion.model": "emotion-huge", "record.file": "day.txt"}
    assert main(["check-config", *(f"--{name}={value}" for name, value in flags.items())]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"emotion-edge: web.password_file {tmp_path / 'none'}: no such file or directory"
    assert lines[1].startswith("emotion-edge: emotion.model: model 'emotion-huge': not there")
    assert lines[2] == "emotion-edge: record.file day.txt: its name must end in .sqlite3 or .db"
    assert len(lines) == 3


@pytest.mark.parametrize("model", ["emotion-small", "committee", "emotion-nano + emotion-small"])
def test_check_config_holds_the_published_labels_to_the_model(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    for labels, status in (
        ("compact4", 0),
        ("{good: [happy], bad: [sad]}", 0),
        ("{good: [happy, bored], bad: [sad]}", 1),
    ):
        assert main(["check-config", f"--emotion.model={model}", f"--emotion.labels={labels}"]) == status
        errors = capsys.readouterr().err
        assert errors.startswith("emotion-edge: emotion.labels: good: the model has no label 'bored'") == bool(status)


def test_check_config_takes_the_file_itself_and_hides_a_cameras_password(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, "camera: {source: 'rtsp://user:hush@cam/live'}\n")
    assert main(["check-config", path]) == 0
    assert "rtsp://user:***@cam/live" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("rtsp://user:hu@sh@cam:8554/live", "rtsp://user:***@cam:8554/live"),
        ("rtsp://user:12/hus?h#@cam/live", "rtsp://user:***@cam/live"),
        ("rtsp://hush@cam/live", "rtsp://***@cam/live"),
        ("rtsp://cam/live?channel=1&user=admin&pwd=hu/sh", "rtsp://cam/live?***"),
        ("rtsp://cam/user=admin_password=hush_channel=1_stream=0?hush", "rtsp://cam/user=***"),
        ("http://[fe80::1]:8080/live", "http://[fe80::1]:8080/live"),
        ("/dev/video0", "/dev/video0"),
        ("videos/a=b?c@d.mp4", "videos/a=b?c@d.mp4"),
    ],
)
def test_no_part_of_a_camera_s_password_is_shown(source: str, shown: str) -> None:
    settings = Settings.model_validate({"camera": {"source": source}})
    assert yaml.safe_load(config_load.dump(settings))["camera"]["source"] == shown


@pytest.mark.parametrize(
    "text",
    [
        "camera: {source:rtsp://user:hush@cam/live}\n",
        "camera: rtsp://cam/live?pwd=hush\n",
        "camera: {source: ['rtsp://user:hush@cam/live']}\n",
    ],
)
def test_a_mistake_in_the_file_does_not_show_a_camera_s_password(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check-config", written(tmp_path, text)]) == 2
    said = capsys.readouterr().err
    assert "camera" in said
    assert "hush" not in said


def test_every_setting_says_whether_it_changes_on_reload() -> None:
    for name in setting_names():
        assert len([mark for mark in setting_field(name).metadata if isinstance(mark, OnReload)]) == 1, (
            f"{name}: its field in edge/config/settings.py must be Annotated with LIVE or RESTART"
        )


def bounds(schema: Mapping[str, Any]) -> list[tuple[bool, bool]]:
    """Return, for each number in a JSON schema, whether it has a lower and an upper bound."""
    nested = [*schema.get("anyOf", []), *schema.get("prefixItems", [])]
    here = [
        (bool({"minimum", "exclusiveMinimum"} & schema.keys()), bool({"maximum", "exclusiveMaximum"} & schema.keys()))
        for kind in [schema.get("type")]
        if kind in ("integer", "number")
    ]
    return here + [found for part in nested for found in bounds(part)]


def test_every_number_has_finite_bounds() -> None:
    schema = Settings.model_json_schema()
    for definition in schema["$defs"].values():
        for name, field in definition.get("properties", {}).items():
            assert all(found == (True, True) for found in bounds(field)), f"{definition['title']}.{name}: no bounds"
    for value in (".inf", "-.inf", ".nan", "1e9"):
        with pytest.raises(ValidationError):
            MqttSettings(heartbeat=yaml.safe_load(value))


def test_a_list_is_written_alike_in_flags_environment_and_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    region = (0.25, 0.0, 0.5, 1.0)
    assert load("--config", written(tmp_path, "detector: {region: [0.25, 0, 0.5, 1]}\n")).detector.region == region
    for text in ("[0.25, 0, 0.5, 1]", "0.25,0,0.5,1", "0.25, 0, 0.5, 1", " 0.25 0 0.5 1 "):
        assert load("--detector.region", text).detector.region == region
        monkeypatch.setenv("EMOTION_EDGE_DETECTOR_REGION", text)
        assert load().detector.region == region
        monkeypatch.delenv("EMOTION_EDGE_DETECTOR_REGION")
    assert load("--detector.region", "null").detector.region is None
    for text in ("[0.25", "{", '[0.25,0,"', "0.5"):
        with pytest.raises(EmotionEdgeError) as caught:
            load("--detector.region", text)
        assert re.fullmatch(r"flag --detector\.region: does not fit \(Where to look.*\), found .*", str(caught.value))


def test_an_empty_path_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMOTION_EDGE_MQTT_CA_FILE", "")
    assert load().mqtt.ca_file is None
    assert load("--record.file=").record.file is None


def test_a_password_file_is_read_as_people_write_it(tmp_path: Path) -> None:
    file, none = tmp_path / "password", SecretStr("")
    for content in (b"hush\n", b"\xef\xbb\xbfhush\r\n", b"hush", b"hush\nmore\n"):
        file.write_bytes(content)
        assert secret_of("mqtt.password", none, file) == "hush"
    for content, said in (
        (b"\0hush", "control character"),
        ("hush".encode("utf-16"), "cannot be read"),
        ("hush".encode("utf-16-be"), "control character"),
        (b"\nhush", "first line must be the password"),
    ):
        file.write_bytes(content)
        with pytest.raises(EmotionEdgeError, match=said) as caught:
            secret_of("mqtt.password", none, file)
        assert f"mqtt.password_file {file}" in str(caught.value)
        assert "hush" not in str(caught.value)


@pytest.mark.parametrize("token", ["t\u00f6ken\u2603", "to\nken"])
def test_a_token_that_no_header_holds_is_refused(token: str) -> None:
    with pytest.raises(EmotionEdgeError, match=r"serve\.token: must be of ASCII characters"):
        token_of("serve.token", SecretStr(token), None)
    with pytest.raises(EmotionEdgeError, match=r"emotion\.server_token: must be of ASCII characters"):
        open_classifier(
            EmotionSettings(server="http://127.0.0.1:1/v1/models/m", server_token=SecretStr(token)), choose(), 1
        )


def test_yes_is_no_text_where_words_are_wanted_and_off_is() -> None:
    with pytest.raises(ValidationError, match="valid string"):
        Settings.model_validate({"camera": {"source": True}})
    assert Settings.model_validate({"display": {"mode": False}}).display.mode == "off"
