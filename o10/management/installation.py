"""What was made for this installation alone? Secrets of the first start, under O10_HOME."""

import secrets
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from o10.access import queries as people

DEMO_PASSWORD = "demo_password"  # noqa: S105 - a file's name
DEMO_KEY = "demo_router_key"
FIRST_PASSWORD = "first_password"  # noqa: S105 - a file's name


@dataclass(frozen=True, slots=True)
class DemoLogIn:
    """Who can look around in the demo company?"""

    name: str
    role: str
    email: str
    password: str


def secret_path(name: str) -> Path:
    """Where is this secret kept?"""
    return Path(settings.O10_HOME) / "secrets" / name


def find_secret(name: str) -> str | None:
    """Which secret was made under this name, if any?"""
    path = secret_path(name)
    return path.read_text().strip() if path.exists() else None


def write_secret(name: str, text: str) -> None:
    """Keeps a secret, readable by its owner alone."""
    path = secret_path(name)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600)
    path.write_text(text)


def kept_secret(name: str) -> str:
    """Which password has this installation? Made on the first call."""
    found = find_secret(name)
    if found is None:
        found = secrets.token_urlsafe(12)
        write_secret(name, found)
    return found


def demo_people() -> tuple[DemoLogIn, ...]:
    """Which log-ins does the demo company print? None without its password file."""
    password = find_secret(DEMO_PASSWORD)
    if password is None:
        return ()
    return tuple(
        DemoLogIn(row.display_name, row.role, row.email, password)
        for row in people.list_people()
    )
