"""How does an installation get its company? Once; its ledger names currency and zone."""

from datetime import datetime

from o10.kernel.errors import Conflict
from policies.models import Organisation
from policies.queries.organisation import OrganisationView, find_organisation


class OrganisationDiffers(Conflict):
    """Is there a company of another slug already? Fields: `found`, `asked`."""

    code = "conflict"


def found_organisation(
    *, name: str, slug: str, demo: bool, actor: str, now: datetime
) -> OrganisationView:
    """Which company is it? Made the first time, the same answer afterwards.

    Raises: OrganisationDiffers (`conflict`) when another one is there.
    """
    Organisation.objects.bulk_create(
        [Organisation(slug=slug, name=name, demo=demo, created_at=now, created_by=actor)],
        ignore_conflicts=True,
    )
    found = find_organisation()
    if found is None or found.slug != slug:
        raise OrganisationDiffers(found=found.slug if found else "", asked=slug)
    return found
