"""Which path leads to which page of ledger?"""

from django.urls import path

from ledger.web.pages_entry import entry, entry_by_id, reverse_entry
from ledger.web.pages_ledger import ledger
from ledger.web.pages_verify import verify

urlpatterns = [
    path("ledger/", ledger, name="ledger"),
    path("ledger/verify/", verify, name="ledger-verify"),
    path("ledger/<int:seq>/", entry, name="ledger-entry"),
    path("ledger/<int:seq>/reverse/", reverse_entry, name="ledger-reverse"),
    path("ledger/<slug:public>/", entry_by_id, name="ledger-entry-by-id"),
]
