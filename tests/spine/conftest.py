"""How is the whole product run in a test? `o10 up` in a home of its own, as a person would."""

import contextlib
import http.client
import http.cookiejar
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.architecture.source import ROOT


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Running:
    """A running o10: its ports, home, printed lines, and how to talk to it."""

    home: Path
    port: int
    policy_port: int
    process: subprocess.Popen[str] | None = None
    lines: list[str] = field(default_factory=list)

    def environment(self) -> dict[str, str]:
        clean = {key: value for key, value in os.environ.items() if not key.startswith("O10_")}
        base = f"http://127.0.0.1:{self.port}"
        return clean | {"O10_HOME": str(self.home), "O10_BASE_URL": base}

    def start(self, patience: float = 120.0) -> float:
        """Starts `o10 up`, waits for its announcement; seconds it took."""
        self.lines = []
        started = time.monotonic()
        ports = ["--port", str(self.port), "--policy-port", str(self.policy_port)]
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "up", *ports],
            cwd=ROOT,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        threading.Thread(target=self._read, daemon=True).start()
        while time.monotonic() - started < patience:
            if any("Ctrl-C stops" in line for line in self.lines):
                return time.monotonic() - started
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise AssertionError("o10 up did not get ready:\n" + "".join(self.lines[-60:]))

    def _read(self) -> None:
        if self.process and self.process.stdout:
            for line in self.process.stdout:
                self.lines.append(line)

    def stop(self) -> int:
        """Ctrl-C, and the exit code."""
        if self.process is None:
            return 0
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGINT)
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise

    def manage(self, *command: str, code: int = 0) -> str:
        """Runs a management command of this installation; its output."""
        done = subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=ROOT,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )
        assert done.returncode == code, (
            f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        )
        return done.stdout

    @property
    def key(self) -> str:
        """The router key in the printed curl."""
        return re.search(r"Bearer (o10_\w+)", "".join(self.lines))[1]  # type: ignore[index]

    @property
    def password(self) -> str:
        """The password printed for the demo people."""
        return re.search(r"password\s+(\S+)", "".join(self.lines))[1]  # type: ignore[index]

    def post(
        self, path: str, body: dict[str, Any], *, port: int | None = None
    ) -> tuple[int, Any]:
        """One call of the policy API."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", port or self.policy_port, timeout=30
        )
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        connection.request("POST", path, json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())

    def browser(self, email: str) -> "Browser":
        """A signed-in person without JavaScript."""
        return Browser(f"http://127.0.0.1:{self.port}", email, self.password)


class Browser:
    """Signs in and reads pages, with cookies and without JavaScript."""

    def __init__(self, base: str, email: str, password: str) -> None:
        self.base = base
        self.jar = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.jar))
        page = self.get("/sign-in/")
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)[1]  # type: ignore[index]
        form = {"csrfmiddlewaretoken": token, "email": email, "password": password}
        request = urllib.request.Request(
            f"{base}/sign-in/",
            data=urllib.parse.urlencode(form).encode(),
            headers={"Referer": f"{base}/sign-in/", "Origin": base},
        )
        self.opener.open(request, timeout=20).read()
        assert any(cookie.name == "sessionid" for cookie in self.jar)

    def get(self, path: str) -> str:
        """The HTML of one page."""
        return self.opener.open(self.base + path, timeout=20).read().decode()

    def wait_for(self, path: str, words: str, seconds: float) -> float:
        """How long until this page shows these words?"""
        started = time.monotonic()
        while time.monotonic() - started < seconds:
            if words in self.get(path):
                return time.monotonic() - started
            time.sleep(0.1)
        raise AssertionError(f"{path} did not show {words} within {seconds} s")


def make_running() -> Running:
    home = Path(tempfile.mkdtemp(prefix="o10-spine-"))
    home.chmod(0o755)
    return Running(home=home, port=free_port(), policy_port=free_port())


def clean_up(running: Running) -> None:
    from o10 import embedded

    running.stop()
    cluster = embedded.cluster_at(running.home)
    embedded.stop(cluster)
    shutil.rmtree(running.home, ignore_errors=True)
    if not cluster.data.is_relative_to(running.home):
        shutil.rmtree(cluster.data.parent, ignore_errors=True)


@pytest.fixture(scope="module")
def o10() -> Iterator[Running]:
    """The demo company, up and running."""
    running = make_running()
    try:
        running.start()
        yield running
    finally:
        clean_up(running)
