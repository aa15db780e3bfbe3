"""Which real servers does a benchmark run against, what do they cost, and how do they die?

Started with the command lines of `o10 up`, restarted as it restarts them, measured in /proc.
"""

import contextlib
import os
import random
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings
from django.core.management import get_commands

from o10 import embedded
from o10.management.benches.crew import connect
from o10.management.benches.drive import connect as dial
from o10.management.commands import up

PATIENCE_S = 60.0
TEND_S = 0.1
QUIET_S = 0.4
YOUNG_S = 6.0
"""granian gives up when a worker it has just restarted dies again within 5.5 s."""
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_SETTINGS = {"DJANGO_SETTINGS_MODULE": "o10.settings"}
PLANE, WEB, BOOKS, SEALER = "plane", "web", "books", "sealer"


def free_port() -> int:
    """Which port is free on this machine now?"""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Server:
    """One supervised process: granian with its workers, or a loop such as the bookkeeper."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    port: int = 0
    process: "subprocess.Popen[bytes] | None" = None
    starts: int = 0
    kills: int = 0

    def start(self) -> None:
        """Runs it; what it prints goes to its log file."""
        with self.log.open("ab") as said:
            self.process = subprocess.Popen(  # noqa: S603 - our own command lines
                list(self.command),
                stdout=said,
                stderr=said,
                stdin=subprocess.DEVNULL,
                env={
                    **os.environ,
                    "DJANGO_SETTINGS_MODULE": "o10.settings",
                    **self.environment,
                },
                cwd=settings.BASE_DIR,
                start_new_session=True,
                preexec_fn=up._die_with_parent,  # noqa: PLW1509 - one prctl call, no locks
            )
        self.starts += 1

    @property
    def pid(self) -> int:
        """Which process is it now? 0 = none."""
        return self.process.pid if self.process is not None else 0

    def workers(self) -> list[int]:
        """Which processes answer? The oldest first; the process itself when it has none."""
        below = sorted(_children(self.pid), key=_born) if self.pid else []
        return below if self.port else [self.pid]

    def cpu_s(self) -> float:
        """How many seconds of processor time have those that answer used?"""
        return sum(_cpu_s(pid) for pid in self.workers())

    def end(self) -> None:
        """Asks it to finish, then insists."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(up.STOP_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(up.STOP_SECONDS)
        self.process = None

    def said(self) -> str:
        """What did it print last?"""
        return self.log.read_text(errors="replace")[-3000:] if self.log.exists() else ""


@dataclass
class Site:
    """The running servers of one company. `kill_worker` is a SIGKILL; all else is ordinary."""

    servers: dict[str, Server] = field(default_factory=dict)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _tender: threading.Thread | None = None

    def __getitem__(self, name: str) -> Server:
        return self.servers[name]

    def __contains__(self, name: str) -> bool:
        return name in self.servers

    def begin(self, servers: Iterable[Server]) -> None:
        """Starts them and waits until each port answers and nobody is busy."""
        for server in servers:
            self.servers[server.name] = server
            server.start()
        if self._tender is None:
            self._tender = threading.Thread(target=self._tend, daemon=True)
            self._tender.start()
        for server in list(self.servers.values()):
            self._await(server)

    def stop(self) -> None:
        """Ends all of them, the bookkeeper after those whose journals it reads."""
        self._stopping.set()
        for server in sorted(self.servers.values(), key=_last_are_the_books):
            server.end()
        self._stopped.set()
        if self._tender is not None:
            self._tender.join()

    def kill_worker(
        self, chance: random.Random, *, name: str = PLANE, older_than_s: float = 0.0
    ) -> int:
        """Which worker was killed (-9)? A random one of that age; 0 = there was none.

        Not the one that was restarted last: granian would give up altogether.
        """
        server = self.servers[name]
        pids = [pid for pid in server.workers() if pid != server.pid]
        if pids and len(pids) > 1 and server.kills and _age_s(pids[-1]) < YOUNG_S:
            pids = pids[:-1]
        victims = [pid for pid in pids if _age_s(pid) >= older_than_s]
        if not victims:
            return 0
        victim = chance.choice(victims)
        killed = _killed(victim)
        server.kills += killed
        return victim * killed

    def kill(self, name: str) -> int:
        """Which process of this name was killed (-9)? Its children die of their own."""
        server = self.servers[name]
        pid = server.pid
        killed = _killed(pid)
        server.kills += killed
        return pid * killed

    def _tend(self) -> None:
        # The thread outlives what it has started: a child dies with its parent's thread.
        while not self._stopped.wait(TEND_S):
            for server in list(self.servers.values()):
                if self._stopping.is_set():
                    break
                if server.process is not None and server.process.poll() is not None:
                    server.start()

    def _await(self, server: Server) -> None:
        deadline = time.monotonic() + PATIENCE_S
        wanted = _option(server.command, "--workers")
        while time.monotonic() < deadline:
            if server.starts > 3:
                break
            if not server.port or (
                len(server.workers()) >= wanted and _answers(server.port) and _is_quiet(server)
            ):
                return
            time.sleep(0.05)
        raise TimeoutError(f"{server.name} did not get ready:\n{server.said()}")


@contextlib.contextmanager
def site(
    *,
    workers: int = 2,
    names: Sequence[str] = (PLANE, BOOKS),
    environment: Mapping[str, str] | None = None,
) -> Iterator[Site]:
    """The servers of `o10 up` with these names, on free ports, in this process's O10_HOME.

    `workers` is how many processes the plane and the web port have each. A name that this
    version does not know is left out (a plane without leases has no books to keep).
    """
    known = _commands(workers)
    with tempfile.TemporaryDirectory(prefix="o10-logs-") as folder:
        running = Site()
        wanted = [
            Server(
                name=name,
                command=_with(known[name][0], "--workers", str(workers)),
                environment=environment or {},
                log=Path(folder) / f"{name}.log",
                port=known[name][1],
            )
            for name in names
            if name in known
        ]
        try:
            running.begin(wanted)
            yield running
        except Exception as error:
            for server in running.servers.values():
                error.add_note(f"{server.name} said: {server.said() or 'nothing'}")
            raise
        finally:
            running.stop()


def beside(
    like: Server, app: str, *, name: str, environment: Mapping[str, str] | None = None
) -> Server:
    """Which server answers with this application and the same settings as another?"""
    port = free_port()
    command = _with([*like.command[:-1], app], "--port", str(port))
    return Server(
        name=name,
        command=command,
        environment={**like.environment, **(environment or {})},
        log=like.log.with_name(f"{name}.log"),
        port=port,
    )


def even_sockets(server: Server, count: int, *, tries: int = 12) -> list[socket.socket]:
    """Which connections are spread evenly over the workers?

    The kernel deals them out by hash; those too many are closed and dealt again.
    """
    workers = server.workers()
    share = -(-count // len(workers))
    kept: dict[int, list[socket.socket]] = {pid: [] for pid in workers}
    for _ in range(tries):
        lacking = sum(share - len(those) for those in kept.values())
        if not lacking:
            break
        opened = {each.getsockname()[1]: each for each in _dial_many(server.port, 2 * lacking)}
        owners = _owners(server.port, workers, set(opened))
        for own_port, each in opened.items():
            those = kept.get(owners.get(own_port, 0))
            if those is None or len(those) >= share:
                each.close()
            else:
                those.append(each)
    even = [each for rank in zip(*kept.values(), strict=False) for each in rank]
    rest = [each for those in kept.values() for each in those if each not in even]
    chosen = [*even, *rest]
    for each in chosen[count:]:
        each.close()
    return chosen[:count]


def database_cpu_s() -> float:
    """How much processor time has the embedded server used, ended sessions included?"""
    home = Path(settings.O10_HOME)
    pid_file = embedded.cluster_at(home).data / "postmaster.pid"
    if not pid_file.exists():
        return 0.0
    postmaster = int(pid_file.read_text().split("\n", 1)[0])
    return _cpu_s(postmaster, ended=True) + sum(_cpu_s(pid) for pid in _children(postmaster))


def backlog() -> int:
    """How many bytes of journals are not in the books yet?"""
    folder = Path(settings.O10_HOME) / "plane"
    with connect("default") as connection:
        found = connection.execute("SELECT to_regclass('lease_holder')").fetchone()
        if found is None or found[0] is None:
            return 0
        rows = connection.execute(
            "SELECT journal, booked_to FROM lease_holder WHERE journal <> ''"
        ).fetchall()
    waiting = 0
    for journal, booked_to in rows:
        path = folder / str(journal)
        if path.exists():
            waiting += max(0, path.stat().st_size - int(booked_to))
    return waiting


def drain(*, patience_s: float = PATIENCE_S) -> float:
    """How long until everything written is in the books? Seconds.

    Raises: TimeoutError.
    """
    begun = time.monotonic()
    while waiting := backlog():
        if time.monotonic() - begun > patience_s:
            raise TimeoutError(f"{waiting} bytes of journals are not booked")
        time.sleep(0.05)
    return time.monotonic() - begun


def wait_until(true: Callable[[], bool], *, patience_s: float, pause_s: float = 0.05) -> float:
    """How long until this is so? Seconds; `patience_s` when it never was."""
    begun = time.monotonic()
    while not true():
        if time.monotonic() - begun > patience_s:
            return patience_s
        time.sleep(pause_s)
    return time.monotonic() - begun


def _commands(workers: int) -> dict[str, tuple[list[str], int]]:
    """Command line and port of every server that `o10 up` starts, by its name there."""
    ports = {PLANE: free_port(), WEB: free_port()}
    options = {
        "host": "127.0.0.1",
        "port": ports[WEB],
        "policy_port": ports[PLANE],
        "plane_workers": workers,
    }
    return {
        child.name: (child.command, ports.get(child.name, 0))
        for child in up._children(options)
        if child.name != BOOKS or child.command[-1] in get_commands()
    }


def _with(command: Sequence[str], option: str, value: str) -> list[str]:
    changed = list(command)
    if option in changed:
        changed[changed.index(option) + 1] = value
    return changed


def _option(command: Sequence[str], option: str) -> int:
    return int(command[list(command).index(option) + 1]) if option in command else 1


def _last_are_the_books(server: Server) -> bool:
    return server.name == BOOKS


def _answers(port: int) -> bool:
    try:
        with dial(port) as opened:
            opened.settimeout(2)
            opened.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            return opened.recv(64).startswith(b"HTTP/1.1 ")
    except OSError:
        return False


def _is_quiet(server: Server) -> bool:
    """Has every worker stopped importing? There is no other sign that all of them listen."""
    before = server.cpu_s()
    time.sleep(QUIET_S)
    return server.cpu_s() - before < 0.15 * QUIET_S


def _dial_many(port: int, count: int) -> list[socket.socket]:
    return [dial(port) for _ in range(count)]


def _owners(port: int, workers: Sequence[int], ports: set[int]) -> dict[int, int]:
    """Which worker has accepted the connection from each of our ports?"""
    owners: dict[int, int] = {}
    deadline = time.monotonic() + 1.0
    while set(owners) != ports and time.monotonic() < deadline:
        time.sleep(0.01)
        inodes = _accepted(port)
        for pid in workers:
            for inode in _socket_inodes(pid):
                if inodes.get(inode) in ports:
                    owners[inodes[inode]] = pid
    return owners


def _accepted(port: int) -> dict[str, int]:
    """Port of the other end by inode of the server's end."""
    found = {}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        parts = line.split()
        if int(parts[1].rpartition(":")[2], 16) == port and parts[9] != "0":
            found[parts[9]] = int(parts[2].rpartition(":")[2], 16)
    return found


def _socket_inodes(pid: int) -> Iterator[str]:
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            target = os.readlink(each)
            if target.startswith("socket:["):
                yield target[8:-1]


def _stat(pid: int) -> list[str]:
    """Fields of /proc/<pid>/stat from the third on; [] when the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    return text.rpartition(") ")[2].split()


def _children(pid: int) -> list[int]:
    found = []
    for each in Path("/proc").iterdir():
        if each.name.isdigit():
            stat = _stat(int(each.name))
            if stat and stat[0] != "Z" and int(stat[1]) == pid:
                found.append(int(each.name))
    return found


def _born(pid: int) -> int:
    stat = _stat(pid)
    return int(stat[19]) if stat else 0


def _age_s(pid: int) -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME) - _born(pid) * _TICK_S


def _cpu_s(pid: int, *, ended: bool = False) -> float:
    """`ended` adds the time of children that are gone."""
    stat = _stat(pid)
    return sum(int(each) for each in stat[11 : 15 if ended else 13]) * _TICK_S if stat else 0.0


def _killed(pid: int) -> int:
    if not pid:
        return 0
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return 0
    return 1
