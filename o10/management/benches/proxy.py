"""How is a real LiteLLM proxy run here, and what does it cost? In a Python of its own.

LiteLLM is large and pins much, so it is installed beside o10, never into it (`make litellm`
makes `.venv-litellm`). The proxy gets a folder with its config, its keys and the guard's file,
answers on loopback, knows no database and no shared store, and calls our own provider.
"""

import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from o10.management.benches import loopback_provider
from o10.management.benches.server import free_port

ROOT = Path(__file__).resolve().parents[3]
HOME_OF_LITELLM = ROOT / ".venv-litellm"
INSTALL = "make litellm"
PATIENCE_S = 120.0
STOP_S = 10.0
MASTER_KEY = "sk-o10-master-key-of-a-bench-0123456789"
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Installed:
    """Which LiteLLM is there?"""

    python: Path
    version: str


def installed_litellm() -> Installed | None:
    """Where is LiteLLM installed? `.venv-litellm`, or what LITELLM_PYTHON names. None: nowhere.

    `make litellm` installs it.
    """
    python = Path(os.environ.get("LITELLM_PYTHON") or HOME_OF_LITELLM / "bin" / "python")
    if not python.exists():
        return None
    asked = "from importlib.metadata import version; print(version('litellm'))"
    done = subprocess.run(  # noqa: S603 - the interpreter named above
        [str(python), "-c", asked], capture_output=True, text=True, check=False
    )
    return Installed(python, done.stdout.strip()) if done.returncode == 0 else None


@dataclass(frozen=True, slots=True)
class Upstream:
    """The provider of a bench: how it is told to behave, and what it wrote down."""

    port: int

    def behave(self, **manners: Mapping[str, Any]) -> None:
        """How do these models behave from now on? Fields of `loopback_provider.Manner`."""
        self._ask("POST", "/_manners", manners)

    def calls(self) -> list[dict[str, Any]]:
        """What was asked so far, and what is billed for it?"""
        found: list[dict[str, Any]] = self._ask("GET", "/_calls")["calls"]
        return found

    def forget(self) -> None:
        """Begins a new record."""
        self._ask("DELETE", "/_calls")

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()


@dataclass(slots=True)
class Proxy:
    """A running proxy: its port, its folder, its processes."""

    port: int
    folder: Path
    process: "subprocess.Popen[bytes]"

    def pids(self) -> list[int]:
        """Which processes are it? The supervisor first."""
        found = [self.process.pid]
        for pid in found:
            with contextlib.suppress(OSError):
                told = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
                found += [int(each) for each in told if int(each) not in found]
        return found

    def cpu_s(self) -> float:
        """How much processor time has it used so far? Seconds, all its processes."""
        return sum(map(_cpu_s, self.pids()))

    def said(self) -> str:
        """What did it print last?"""
        return (self.folder / "proxy.log").read_text(errors="replace")[-6_000:]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """How is a proxy set up?

    Shape: `models` the entries of its model list (`entry` makes one); `guard` Python text of
    the arguments of `O10Guard`, empty = no guard; `callback` Python text of a module that has
    another callback under the name `guard`; `keys` Python text of a function body
    that turns `api_key` into arguments of UserAPIKeyAuth.
    """

    models: Sequence[Mapping[str, Any]]
    workers: int = 1
    guard: str = ""
    callback: str = ""
    keys: str = "return {}"
    router: Mapping[str, Any] = field(default_factory=dict)
    litellm: Mapping[str, Any] = field(default_factory=dict)
    general: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


def entry(group: str, model: str, *, port: int, **more: Any) -> dict[str, Any]:
    """An entry of the model list that calls our provider. `more` goes into litellm_params."""
    info = more.pop("model_info", {})
    params = {"model": model, "api_base": f"http://127.0.0.1:{port}/v1", "api_key": "none"}
    return {"model_name": group, "litellm_params": params | more, "model_info": info}


@contextlib.contextmanager
def upstream() -> Iterator[Upstream]:
    """The provider, in a process of its own."""
    port = free_port()
    script = Path(loopback_provider.__file__)
    process = subprocess.Popen(  # noqa: S603 - our own script
        [sys.executable, str(script), "--port", str(port)], start_new_session=True
    )
    try:
        _await(port, "/_ready", process)
        yield Upstream(port)
    finally:
        _end(process)


@contextlib.contextmanager
def proxy(installed: Installed, setup: Setup) -> Iterator[Proxy]:
    """A running proxy with this setup.

    Raises: TimeoutError with what it printed when it does not get ready.
    """
    folder = Path(tempfile.mkdtemp(prefix="o10-litellm-"))
    port = free_port()
    _write(folder, setup)
    with (folder / "proxy.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own command line
            [
                *(str(installed.python), "-m", "litellm.proxy.proxy_cli"),
                *("--config", str(folder / "config.yaml"), "--host", "127.0.0.1"),
                *("--port", str(port), "--num_workers", str(setup.workers)),
                # On a busy machine a worker that still imports does not answer within 5 s.
                *("--timeout_worker_healthcheck", "60"),
            ],
            cwd=folder,
            env=_environment(setup),
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    running = Proxy(port, folder, process)
    try:
        _await(port, "/health/liveliness", process, said=running.said)
        _await_workers(running, setup.workers)
        yield running
    finally:
        _end(process)
        shutil.rmtree(folder, ignore_errors=True)


def _write(folder: Path, setup: Setup) -> None:
    callback = _GUARD.format(arguments=setup.guard) if setup.guard else setup.callback
    callbacks = ["o10_guard.guard"] if callback else []
    config = {
        "model_list": list(setup.models),
        "router_settings": {"num_retries": 0, "disable_cooldowns": True, **setup.router},
        "litellm_settings": {
            "callbacks": callbacks,
            "telemetry": False,
            "drop_params": True,
            **setup.litellm,
        },
        "general_settings": {
            "master_key": MASTER_KEY,
            "custom_auth": "o10_keys.user_api_key_auth",
            **setup.general,
        },
    }
    # JSON is YAML.
    (folder / "config.yaml").write_text(json.dumps(config, indent=1))
    (folder / "o10_keys.py").write_text(_KEYS + _indented(setup.keys))
    if callback:
        (folder / "o10_guard.py").write_text(callback)


_KEYS = """from litellm.proxy._types import UserAPIKeyAuth


async def user_api_key_auth(request, api_key):
    return UserAPIKeyAuth(**{"api_key": api_key, **told_of(api_key)})


def told_of(api_key):
"""
_GUARD = """from o10.client import FailClosed, FailOpen
from o10.client.http import Patience
from o10.client.litellm import Leases, Left, O10Guard

guard = O10Guard({arguments})
"""


def _indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())


def _environment(setup: Setup) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("O10_", "DJANGO_", "LITELLM_", "OPENAI_"))
    }
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_TELEMETRY": "False",
        "NO_PROXY": "127.0.0.1",
        **setup.environment,
    }


def _await(port: int, path: str, process: "subprocess.Popen[bytes]", said: Any = None) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("GET", path)
            if connection.getresponse().status == 200:
                connection.close()
                return
        connection.close()
        time.sleep(0.1)
    told = said() if said is not None else ""
    raise TimeoutError(f"{path} on port {port} did not get ready:\n{told}")


def _await_workers(running: Proxy, workers: int) -> None:
    """Each worker prints a line when it is ready; one answers before the others do."""
    deadline = time.monotonic() + PATIENCE_S
    log = running.folder / "proxy.log"
    while time.monotonic() < deadline:
        if log.read_text(errors="replace").count("Application startup complete") >= workers:
            return
        time.sleep(0.1)
    raise TimeoutError(f"{workers} workers did not get ready:\n{running.said()}")


def _end(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(STOP_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) * _TICK_S
