"""How do decision workers hear at once that something they keep in memory has changed?

By a NOTIFY that the database delivers when the transaction commits, and not at all when it is
undone. Workers look by themselves every half second too: a notice only makes them faster.
"""

import json
from typing import Final

from django.db import connection

CHANNEL: Final = "o10_plane"


def tell_plane(*, what: str, **facts: object) -> None:
    """Tells every listening worker once this transaction commits: {"k": what, …} as JSON.

    `what`: policy, keys, prices; the operations of leases have kinds of their own.
    """
    text = json.dumps({"k": what, **facts}, separators=(",", ":"))
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, text])
