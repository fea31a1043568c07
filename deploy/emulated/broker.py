"""The certificate of the test board's Mosquitto."""

from pathlib import Path

from deploy.emulated.commands import run


def broker_certificates(root: Path) -> Path:
    """Create a certificate authority and a certificate for the board's broker; returns the authority's file."""
    folder = root / "etc/mosquitto/certs"
    folder.mkdir(parents=True, exist_ok=True)
    authority, key = folder / "ca.pem", folder / "ca.key"
    of_elliptic_curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3650")
    run(
        *("openssl", "req", "-x509", *of_elliptic_curve, "-subj", "/CN=Broker's own authority"),
        *("-addext", "keyUsage=critical,keyCertSign", "-keyout", str(key), "-out", str(authority)),
    )
    run(
        *(
            "openssl",
            "req",
            "-x509",
            *of_elliptic_curve,
            "-subj",
            "/CN=broker",
            "-CA",
            str(authority),
            "-CAkey",
            str(key),
        ),
        *("-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"),
        *("-keyout", str(folder / "broker.key"), "-out", str(folder / "broker.pem")),
    )
    key.unlink()
    run("chroot", str(root), "chown", "-R", "mosquitto:", "/etc/mosquitto/certs")
    return authority
