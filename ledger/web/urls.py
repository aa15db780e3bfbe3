"""Which path leads to which door of the ledger? Below /api/v1/."""

from django.urls import path

from ledger.web.api_entries_list import EntriesList, EntryRead
from ledger.web.api_proofs_read import CheckpointRead, ConsistencyProof, InclusionProof
from ledger.web.api_tiles_read import TileRead
from ledger.web.api_usage_append import UsageAppend

urlpatterns = [
    path("usage", UsageAppend.as_view(), name="api-usage"),
    path("ledger/entries", EntriesList.as_view(), name="api-entries"),
    path("ledger/entries/<str:entry>", EntryRead.as_view(), name="api-entry"),
    path("ledger/entries/<str:entry>/proof", InclusionProof.as_view(), name="api-proof"),
    path("ledger/checkpoint", CheckpointRead.as_view(), name="api-checkpoint"),
    path("ledger/consistency", ConsistencyProof.as_view(), name="api-consistency"),
    path("ledger/tile/<path:tile_path>", TileRead.as_view(), name="api-tile"),
]
