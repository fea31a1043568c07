"""Switches to the service's user, so that checks run by root find what the service would find."""

import os
import pwd
from pathlib import Path
from typing import Final

from edge.system.state_folder import SERVICE_STATE

SERVICE_USER: Final = "emotion-edge"
_HIDDEN: Final = (Path("/home"), Path("/root"), Path("/run/user"))
"""Folders that the unit's ProtectHome= hides from the service (systemd.exec(5))."""


def become_service_user() -> bool:
    """Switch to the service's user, with its groups, state folder and working folder, if root or that user calls it.

    Does nothing if the service is not installed.

    Returns:
        Whether this process now runs as the service's user.
    """
    if "STATE_DIRECTORY" in os.environ:
        # systemd runs this process as the service's user already.
        return False
    try:
        user = pwd.getpwnam(SERVICE_USER)
    except KeyError:
        return False
    if os.geteuid() == 0:
        os.initgroups(SERVICE_USER, user.pw_gid)
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
    elif os.geteuid() != user.pw_uid:
        return False
    os.environ |= {"HOME": user.pw_dir, "USER": SERVICE_USER, "STATE_DIRECTORY": str(SERVICE_STATE)}
    os.chdir("/")
    return True


def hidden_from_service(path: Path) -> bool:
    """Whether a path is invisible to the service, whatever its permissions."""
    whole = Path("/") / path
    return any(folder in (whole, *whole.parents) for folder in _HIDDEN)
