"""Is the client light: no Django, quick to import, nothing to install beside it?"""

import subprocess
import sys
from pathlib import Path

from tests.architecture.source import ROOT


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_client_imports_no_server_and_no_http_library() -> None:
    done = run(
        "import sys, o10.client\n"
        "heavy = ('django', 'celery', 'psycopg', 'rest_framework', 'pandas', 'structlog',\n"
        "         'ledger', 'policies', 'reports', 'o10.access', 'o10.settings', 'aiohttp')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    assert done.stderr == ""
    assert done.stdout == "[]\n"


def test_the_import_costs_no_more_than_a_few_of_the_standard_library() -> None:
    measure = "import time; began = time.perf_counter()\n{}\nprint(time.perf_counter() - began)"
    library = "import asyncio, http.client, ssl, urllib.request, logging, enum, dataclasses"
    ours, theirs = [], []
    for _ in range(3):
        ours.append(float(run(measure.format("import o10.client")).stdout))
        theirs.append(float(run(measure.format(library)).stdout))
    assert min(ours) < 3 * min(theirs) + 0.05


def test_the_async_client_needs_no_library(tmp_path: Path) -> None:
    done = run(
        "import sys; sys.modules['aiohttp'] = sys.modules['httpx'] = None\n"
        "from o10.client import AsyncClient\n"
        "AsyncClient(base_url='http://127.0.0.1:1', key='x', state_dir=sys.argv[1])\n"
        "print('made')",
        str(tmp_path),
    )
    assert done.stdout == "made\n", done.stderr
