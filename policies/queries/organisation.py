"""Which company do the pages speak of?"""

from dataclasses import dataclass

from ledger import facade as ledger
from o10.kernel.errors import NotFound
from policies.models import Organisation


@dataclass(frozen=True, slots=True)
class OrganisationView:
    """How is the company called, and in which currency and zone does it count?

    `demo` true = its figures are made up, and every page says so.
    """

    name: str
    slug: str
    currency: str
    time_zone: str
    demo: bool


def find_organisation() -> OrganisationView | None:
    """Which company is it, if the installation has one?"""
    row = Organisation.objects.filter(id=1).first()
    books = ledger.find_ledger()
    if row is None or books is None:
        return None
    return OrganisationView(row.name, row.slug, books.currency, books.time_zone, row.demo)


def organisation() -> OrganisationView:
    """Which company is it?

    Raises: NotFound (`not_found`) before the installation has one.
    """
    found = find_organisation()
    if found is None:
        raise NotFound(kind="organisation", id="1")
    return found
