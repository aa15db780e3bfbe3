"""Where do tests keep their files? A home of their own, set before any setting is read."""

import os
import tempfile
from pathlib import Path

GIVEN_URL = os.environ.get("O10_TEST_DATABASE_URL", "")
"""libpq URL of a superuser of an external PostgreSQL; empty = the embedded one."""

for _name in [name for name in os.environ if name.startswith("O10_")]:
    del os.environ[_name]

HOME = Path(tempfile.mkdtemp(prefix="o10-tests-"))
HOME.chmod(0o755)
(HOME / "static").mkdir()
os.environ["O10_HOME"] = str(HOME)
os.environ["O10_SECRET_KEY"] = "a secret of the tests, long enough to be taken"  # noqa: S105
# The browser's driver keeps an event loop in the main thread while it is open; the database
# calls of the tests around it are synchronous and ours.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
