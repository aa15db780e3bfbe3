"""In which lease is a call that only its id names?

A worker knows its own calls. Those of its neighbours stand in the books as soon as they are
booked, with the lease and the number under which their journal has them.
"""

from uuid import UUID

from django.db import connection

from o10.kernel import ids

READ_PLACE = """
SELECT lease, sequence FROM reservation
WHERE id = %s AND state = 'open' AND lease IS NOT NULL AND sequence > 0 AND alias_of IS NULL
"""


def find_place(reference: str) -> tuple[UUID, int] | None:
    """Which lease and number has the open reservation with this public id?

    None = it is not booked yet, has ended, or is a hold of its own.
    """
    try:
        reservation = ids.uuid_of(reference, "rsv")
    except ids.IdMalformed:
        return None
    with connection.cursor() as cursor:
        cursor.execute(READ_PLACE, [reservation])
        row = cursor.fetchone()
    return None if row is None else (row[0], int(row[1]))
