"""Which price refreshes were proposed, what became of each, which doubted rows were decided?

Append-only by grant and by trigger (migrations 0009, 0013): a proposal is what people decide
on, so it stays as it was shown.
"""

from django.db import models
from django.db.models import Q

from ledger.models.price import PriceQuarantine, PriceVersion


class PriceProposal(models.Model):
    """What would a catalogue change, on which state of the book, with which money effect?

    `body` holds the diff as it was computed: rules to add, changes, new offers, rows listed
    apart, disagreements, absent offers, aliases, and the effect on the last 30 days.
    """

    id = models.TextField(primary_key=True)
    catalogue = models.TextField()
    edition = models.TextField()
    content_hash = models.TextField()
    base_version = models.IntegerField()
    base_digest = models.BinaryField()
    body = models.JSONField()
    body_hash = models.BinaryField()
    actor = models.TextField()
    made_at = models.DateTimeField()

    class Meta:
        db_table = "ledger_price_proposal"
        constraints = [
            # The same catalogue against the same book is the same proposal.
            models.UniqueConstraint(
                fields=["content_hash", "base_version"], name="price_proposal_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.catalogue} {self.edition}"


class PriceProposalEnd(models.Model):
    """How did a proposal end? Once: applied as a version, or void for a newer one."""

    proposal = models.OneToOneField(
        PriceProposal, primary_key=True, on_delete=models.PROTECT, related_name="end"
    )
    outcome = models.TextField()
    version = models.ForeignKey(
        PriceVersion, null=True, on_delete=models.PROTECT, related_name="+"
    )
    actor = models.TextField()
    ended_at = models.DateTimeField()

    class Meta:
        db_table = "ledger_price_proposal_end"
        constraints = [
            models.CheckConstraint(
                name="price_proposal_end_known",
                condition=Q(outcome="applied", version__isnull=False)
                | Q(outcome__in=["superseded", "declined"], version__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.proposal_id} {self.outcome}"


class PriceRelease(models.Model):
    """Which doubted row became a price after all, by whose word, and why?"""

    quarantine = models.OneToOneField(
        PriceQuarantine, primary_key=True, on_delete=models.PROTECT, related_name="release"
    )
    version = models.ForeignKey(PriceVersion, on_delete=models.PROTECT, related_name="+")
    reason = models.TextField()
    requested_by = models.TextField()
    approved_by = models.TextField()
    released_at = models.DateTimeField()

    class Meta:
        db_table = "ledger_price_release"
        constraints = [
            # What a machine doubted needs a person's reason.
            models.CheckConstraint(name="price_release_has_reason", condition=~Q(reason="")),
        ]

    def __str__(self) -> str:
        return f"release of quarantined row {self.quarantine_id}"


class PriceDismissal(models.Model):
    """Which doubted row stays out of the book, by whose word, and why?"""

    quarantine = models.OneToOneField(
        PriceQuarantine, primary_key=True, on_delete=models.PROTECT, related_name="dismissal"
    )
    reason = models.TextField()
    actor = models.TextField()
    entry_uid = models.UUIDField(unique=True)
    dismissed_at = models.DateTimeField()

    class Meta:
        db_table = "ledger_price_dismissal"
        constraints = [
            models.CheckConstraint(name="price_dismissal_has_reason", condition=~Q(reason="")),
        ]

    def __str__(self) -> str:
        return f"dismissal of quarantined row {self.quarantine_id}"


class PriceConfirmation(models.Model):
    """When was a catalogue looked at and found to say what the list prices say?

    It changes no price and makes no version; it says that the prices in force are no older
    than this. `base_version` is the state of the list prices that was compared, `content_hash`
    the SHA-256 of what was read.
    """

    id = models.AutoField(primary_key=True)
    catalogue = models.TextField()
    edition = models.TextField()
    content_hash = models.TextField()
    base_version = models.IntegerField()
    unchanged = models.IntegerField()
    apart = models.IntegerField()
    absent = models.IntegerField()
    day = models.DateField()
    actor = models.TextField()
    entry_uid = models.UUIDField(unique=True)
    confirmed_at = models.DateTimeField()

    class Meta:
        db_table = "ledger_price_confirmation"
        constraints = [
            # Looked at twice a day it is one word, not two.
            models.UniqueConstraint(
                fields=["content_hash", "base_version", "day"], name="price_confirmed_once"
            ),
            models.CheckConstraint(
                name="price_confirmation_says_something", condition=Q(unchanged__gt=0)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.catalogue} {self.edition} on {self.day}"
