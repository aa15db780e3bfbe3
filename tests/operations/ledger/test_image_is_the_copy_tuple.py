"""Does PostgreSQL itself emit the golden images?"""

import json
from datetime import datetime
from pathlib import Path
from uuid import UUID

import psycopg

from ledger.core.entry import COLUMNS_V1

GOLDEN = Path(__file__).parents[2] / "golden" / "ledger_images.json"
COPY_HEADER_BYTES = 19
READ = {
    "uuid": UUID,
    "timestamptz": datetime.fromisoformat,
    "bytea": bytes.fromhex,
    "text": str,
}


def test_the_binary_copy_of_every_golden_row_is_its_image(database_urls) -> None:
    vectors = json.loads(GOLDEN.read_text())["vectors"]
    names = ", ".join(column.name for column in COLUMNS_V1)
    with (
        psycopg.connect(database_urls.superuser_url) as connection,
        connection.cursor() as cursor,
    ):
        types = ", ".join(f"{column.name} {column.type}" for column in COLUMNS_V1)
        cursor.execute(f"CREATE TEMP TABLE row_of_vector (place int, {types})")
        cursor.executemany(
            f"INSERT INTO row_of_vector VALUES ({', '.join(['%s'] * (1 + len(COLUMNS_V1)))})",
            [
                [place] + [READ.get(c.type, int)(vector["entry"][c.name]) for c in COLUMNS_V1]
                for place, vector in enumerate(vectors)
            ],
        )
        copy = (
            f"COPY (SELECT {names} FROM row_of_vector ORDER BY place) TO STDOUT (FORMAT binary)"
        )
        with cursor.copy(copy) as rows:
            emitted = b"".join(bytes(piece) for piece in rows)
        connection.rollback()
    images = b"".join(bytes.fromhex(vector["image"]) for vector in vectors)
    assert emitted[COPY_HEADER_BYTES:] == images + b"\xff\xff"
