"""Does the ledger still say what it said, and how does an outsider check that without us?"""

from datetime import datetime

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_GET

from ledger import facade
from ledger.web.pages_entry import verifier_keys
from ledger.web.shown_verify import VerifyPage, show_verify
from o10.access.keys import Caller
from o10.access.pages import page, render_page
from o10.access.roles import Action


@require_GET
@page(Action.READ_LEDGER)
def verify(request: HttpRequest, *, caller: Caller, now: datetime) -> HttpResponse:
    """State, last look, finding, newest checkpoint, key, commands, and what is not claimed."""
    company = facade.ledger_of_company()
    context = show_verify(
        VerifyPage(
            company=company,
            badge=facade.seal_badge(now=now),
            seal=facade.seal_state(now=now),
            looked=facade.last_verification(),
            checkpoint=facade.latest_checkpoint(),
            keys=verifier_keys(company),
            base_url=f"{request.scheme}://{request.get_host()}",
            now=now,
        )
    )
    return render_page(
        request, template="ledger/verify.html", part="ledger/_verify.html", context=context
    )
