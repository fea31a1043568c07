"""Private certificate authorities made by common instructions, with every installed Python."""

import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge.config.certificate import client_context
from tests.conftest import ROOT
from tests.support.broker import Mosquitto, program
from tests.support.publishing import connected, publishing

CONNECT = """
import importlib.util, socket, sys, types
from pathlib import Path
sys.modules["edge"] = edge = types.ModuleType("edge")  # the package is not installed for every Python
edge.__path__ = ["edge"]
spec = importlib.util.spec_from_file_location("certificate", "edge/config/certificate.py")
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
context = module.client_context("mqtt.ca_file", Path(sys.argv[1]))
with socket.create_connection(("127.0.0.1", int(sys.argv[2]))) as connection:
    try:
        context.wrap_socket(connection, server_hostname=sys.argv[3]).close()
        print("accepted")
    except OSError as error:
        print("refused:", getattr(error, "verify_message", error))
"""

SERVER = "subjectAltName=DNS:localhost\n"
CAREFUL = f"{SERVER}authorityKeyIdentifier=keyid\nbasicConstraints=CA:FALSE\nkeyUsage=digitalSignature\n"
BARE = "[req]\ndistinguished_name=dn\nx509_extensions=x\n[dn]\n[x]\nbasicConstraints=CA:TRUE\n"


def pythons() -> list[str]:
    """Paths of the tests' Python, and of Python 3.13 if it is installed."""
    newer = shutil.which("python3.13")
    runs = newer and subprocess.run([newer, "-c", ""], capture_output=True).returncode == 0
    return [sys.executable, *([newer] if newer and runs else [])]


@dataclass(frozen=True)
class Home:
    """A certificate authority without key usage, and a server certificate signed by it."""

    authority: Path
    server: Path
    key: Path


def home(folder: Path, extensions: str = SERVER, config: str = "") -> Home:
    """Create both with openssl. extensions: the server certificate's. config: the authority's; empty: the default."""
    folder.mkdir(exist_ok=True)
    openssl = program("openssl")
    (folder / "ext").write_text(extensions)
    (folder / "cnf").write_text(config)
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj"]
    authority = ["req", "-x509", *new, "/CN=Home", "-keyout", "ca.key", "-out", "ca.pem"]
    authority += ["-config", "cnf"] if config else ["-extensions", "v3_ca"]
    request = ["req", *new[:5], "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr"]
    sign = ["x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"]
    sign += ["-days", "2", "-extfile", "ext", "-out", "server.pem"]
    for command in (authority, request, sign):
        subprocess.run([openssl, *command], cwd=folder, check=True, capture_output=True)
    text = subprocess.run(
        [openssl, "x509", "-in", "ca.pem", "-noout", "-text"], cwd=folder, check=True, capture_output=True, text=True
    ).stdout
    assert "Key Usage" not in text
    return Home(folder / "ca.pem", folder / "server.pem", folder / "server.key")


@contextmanager
def tls_server(made: Home) -> Iterator[int]:
    """Context manager: answers TLS handshakes on the loopback; yields the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.server, made.key)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                try:
                    context.wrap_socket(client, server_side=True).close()
                except OSError:
                    client.close()

        threading.Thread(target=serve, daemon=True).start()
        yield int(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)


def answer(python: str, authority: Path, port: int, name: str = "localhost") -> str:
    command = [python, "-c", CONNECT, str(authority), str(port), name]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    return (done.stdout or done.stderr).strip()


@pytest.mark.parametrize("python", pythons(), ids=lambda path: Path(path).name)
def test_a_home_authority_without_key_usage_is_accepted_and_chain_and_name_are_still_checked(
    tmp_path: Path, python: str
) -> None:
    other = home(tmp_path / "other")
    for extensions, config in ((SERVER, ""), (CAREFUL, ""), (SERVER, BARE)):
        made = home(tmp_path / "home", extensions, config)
        with tls_server(made) as port:
            assert answer(python, made.authority, port) == "accepted"
            assert answer(python, other.authority, port).startswith("refused: ")
            assert "IP address mismatch" in answer(python, made.authority, port, "127.0.0.1")


def test_the_strict_flag_that_python_3_13_sets_is_cleared_and_nothing_else_is() -> None:
    context, default = client_context("mqtt.ca_file", None), ssl.create_default_context()
    assert context.verify_flags == default.verify_flags & ~ssl.VERIFY_X509_STRICT
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_the_recipe_of_the_documentation_makes_certificates_that_pass_every_check(tmp_path: Path) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "docs/mqtt.md").read_text(), re.DOTALL)
    (recipe,) = [block for block in blocks if "Home CA" in block]
    subprocess.run(["sh", "-ec", recipe], cwd=tmp_path, check=True, capture_output=True)
    strict = [program("openssl"), "verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", "broker.lan"]
    subprocess.run([*strict, "-CAfile", "ca.pem", "server.pem"], cwd=tmp_path, check=True, capture_output=True)


def test_a_broker_with_a_home_authority_is_connected_to(tmp_path: Path) -> None:
    made = home(tmp_path / "home")
    rules = [f"certfile {made.server}", f"keyfile {made.key}"]
    with (
        Mosquitto("allow_anonymous true", *rules) as broker,
        publishing(broker.port, host="localhost", tls=True, ca_file=made.authority) as output,
    ):
        connected(output)
