"""How does an outsider check an entry and the whole? Proofs, checkpoint, verifier key."""

from typing import ClassVar

from django.http import HttpResponse
from rest_framework.request import Request

from ledger import facade
from ledger.web.api_entries_list import get_entry
from ledger.web.serializers import (
    ConsistencyView,
    InclusionView,
    consistency_view,
    inclusion_view,
)
from o10.access.doors import JSON, Operation
from o10.access.rest import caller_of
from o10.access.roles import Action
from o10.access.views import Door, answer, query_of
from o10.kernel.errors import FieldError, NotFound, ValidationFailed

_NO_PARAMETERS: frozenset[str] = frozenset()


class InclusionProof(Door):
    """Is this entry in the tree under a signed checkpoint?"""

    operations: ClassVar = {
        "GET": Operation(
            action=Action.READ_LEDGER,
            gives={JSON: InclusionView},
            query={"size": "Size of the tree; none = the newest checkpoint's."},
        )
    }

    def get(self, request: Request, entry: str) -> HttpResponse:
        """`size`: of the tree to prove it in; none = the newest checkpoint's."""
        query = query_of(request, allowed=frozenset({"size"}))
        size = None if "size" not in query else _size(query["size"], at="/size")
        stored = get_entry(entry, caller_of(request))
        proof = facade.prove_inclusion(
            ledger_id=facade.COMPANY_LEDGER, uid=stored.uid, size=size
        )
        return answer(inclusion_view(proof))


class ConsistencyProof(Door):
    """Has the tree only grown between two sizes?"""

    operations: ClassVar = {
        "GET": Operation(
            action=Action.READ_LEDGER,
            gives={JSON: ConsistencyView},
            query={"from": "Smaller size; required.", "to": "Larger size; required."},
        )
    }

    def get(self, request: Request) -> HttpResponse:
        """`from` and `to`: both sizes."""
        query = query_of(request, allowed=frozenset({"from", "to"}))
        missing = [
            FieldError(f"/{name}", "required", "This parameter is required.")
            for name in ("from", "to")
            if name not in query
        ]
        if missing:
            raise ValidationFailed(errors=missing)
        proof = facade.prove_consistency(
            ledger_id=facade.COMPANY_LEDGER,
            first=_size(query["from"], at="/from"),
            second=_size(query["to"], at="/to"),
        )
        return answer(consistency_view(proof))


class CheckpointRead(Door):
    """The newest signed tree head, as a C2SP signed note. Open to everyone: it is a promise."""

    operations: ClassVar = {"GET": Operation(action=None, gives={"text/plain": None})}

    def get(self, request: Request) -> HttpResponse:
        """Plain text, byte for byte as signed."""
        query_of(request, allowed=_NO_PARAMETERS)
        checkpoint = facade.latest_checkpoint(ledger_id=facade.COMPANY_LEDGER)
        if checkpoint is None:
            raise NotFound(kind="checkpoint")
        return HttpResponse(
            checkpoint.note,
            content_type="text/plain; charset=utf-8",
            headers={"Cache-Control": "no-cache"},
        )


def _size(stated: str, *, at: str) -> int:
    if stated.isascii() and stated.isdigit() and len(stated) <= 18:
        return int(stated)
    raise ValidationFailed(
        errors=[FieldError(at, "out_of_range", "A tree size is a whole number.")]
    )
