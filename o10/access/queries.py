"""Which key, person or failed sign-in is stored? Reads only."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count

from o10.access.models import AccessAudit, Person, RouterKey, SignInFailure


@dataclass(frozen=True, slots=True)
class Failures:
    """How many sign-ins failed lately?"""

    both: int
    """Same address and same network."""
    email: int
    network: int


@dataclass(frozen=True, slots=True)
class KeyStamp:
    """In which state is the table of keys? Every change of a key raises one of the counts."""

    made: int
    replaced: int
    revoked: int


def stamp_of_keys() -> KeyStamp:
    """Has a key changed since the last look? Counts: a greatest number may commit late."""
    counts = RouterKey.objects.aggregate(
        made=Count("id"), replaced=Count("successor"), revoked=Count("revoked_at")
    )
    return KeyStamp(**counts)


def find_key_by_hash(secret_hash: bytes) -> RouterKey | None:
    """Which key has this hash of its secret, if any?"""
    return RouterKey.objects.filter(secret_hash=secret_hash).first()


def find_key(key_id: str) -> RouterKey | None:
    """Which key has this public id, if any?"""
    return RouterKey.objects.filter(id=key_id).first()


def list_keys() -> list[RouterKey]:
    """Which keys are there? Newest first."""
    return list(RouterKey.objects.order_by("-id"))


def find_person(person_id: str) -> Person | None:
    """Which person has this public id, if any?"""
    return Person.objects.filter(id=person_id).first()


def find_person_by_email(email: str) -> Person | None:
    """Which person signs in with this address, in any case, if any?"""
    return Person.objects.filter(email=email.strip().casefold()).first()


def list_people() -> list[Person]:
    """Who works with o10? By name."""
    return list(Person.objects.order_by("display_name", "id"))


def list_audit(*, subject: str) -> list[AccessAudit]:
    """What was changed about this person or key? Oldest first."""
    return list(AccessAudit.objects.filter(subject=subject).order_by("id"))


def count_failures(*, email_hash: bytes, network_hash: bytes, since: datetime) -> Failures:
    """How many sign-ins failed since then: for both, for the address, for the network?"""
    recent = SignInFailure.objects.filter(at__gt=since)
    return Failures(
        both=recent.filter(email_hash=email_hash, network_hash=network_hash).count(),
        email=recent.filter(email_hash=email_hash).count(),
        network=recent.filter(network_hash=network_hash).count(),
    )
