"""Which hashes make the tree? Tiles as in C2SP tlog-tiles, under `/ledger/tile/`.

Hash tiles say nothing but hashes and are open to everyone, so that witnesses can follow the
ledger; tiles of entries are for callers who may read the whole ledger.
"""

from typing import ClassVar

from django.http import HttpResponse
from rest_framework.request import Request

from ledger import facade
from ledger.web.scope import check_whole_ledger
from o10.access import checks
from o10.access.doors import Operation
from o10.access.rest import caller_of
from o10.access.roles import Action
from o10.access.views import Door, query_of

FULL_WIDTH = 256
_FOR_EVER = "public, max-age=31536000, immutable"


class TileRead(Door):
    """One tile, full or partial; a full tile never changes."""

    operations: ClassVar = {
        "GET": Operation(action=None, gives={"application/octet-stream": None})
    }

    def get(self, request: Request, tile_path: str) -> HttpResponse:
        """Raw bytes."""
        query_of(request, allowed=frozenset())
        tile = facade.tile_of_path(f"tile/{tile_path}")
        if tile.level is None:
            checks.check(caller=caller_of(request), action=Action.READ_LEDGER)
            check_whole_ledger(caller_of(request))
            body = facade.read_entry_tile(
                ledger_id=facade.COMPANY_LEDGER, index=tile.index, width=tile.width
            )
            kept = "private, max-age=31536000, immutable"
        else:
            body = facade.read_tile(
                ledger_id=facade.COMPANY_LEDGER,
                level=tile.level,
                index=tile.index,
                width=tile.width,
            )
            kept = _FOR_EVER
        response = HttpResponse(body, content_type="application/octet-stream")
        if tile.width == FULL_WIDTH:
            response.headers["Cache-Control"] = kept
        return response
