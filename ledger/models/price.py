"""What does a token cost, where, since when, who says so? Rows that are added, never edited.

A version adds offers, rules and withdrawals in one transaction; rules up to a version are the
price book of that version. All tables here are append-only by grant and by trigger
(migration 0007).
"""

from django.db import models
from django.db.models import F, Q


class PriceVersion(models.Model):
    """Which change made this version of the book, by whom, on which evidence?"""

    version = models.IntegerField(primary_key=True)
    change = models.TextField()
    catalogue = models.TextField(default="")
    edition = models.TextField(default="")
    content_hash = models.TextField(default="")
    evidence = models.TextField(default="")
    actor = models.TextField()
    digest = models.BinaryField()
    recorded_at = models.DateTimeField()

    class Meta:
        db_table = "ledger_price_version"
        constraints = [
            models.CheckConstraint(name="price_version_positive", condition=Q(version__gt=0)),
            models.CheckConstraint(
                name="price_version_change_known",
                condition=Q(
                    change__in=[
                        "catalogue",
                        "override",
                        "contract",
                        "withdrawal",
                        "release",
                        "fx",
                    ]
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"price version {self.version}"


class PriceOffer(models.Model):
    """Which model is sold where, in which region, at which tier?"""

    id = models.AutoField(primary_key=True)
    venue = models.TextField()
    model = models.TextField()
    region = models.TextField(default="global")
    tier = models.TextField(default="standard")
    slug = models.TextField(unique=True)
    context_window = models.IntegerField(null=True)
    since = models.ForeignKey(PriceVersion, on_delete=models.PROTECT, related_name="offers")

    class Meta:
        db_table = "ledger_price_offer"
        constraints = [
            # One identity, one row: two rows would be two prices for the same call.
            models.UniqueConstraint(
                fields=["venue", "region", "model", "tier"], name="price_offer_once"
            ),
            models.CheckConstraint(
                name="price_offer_tier_known",
                condition=Q(tier__in=["standard", "batch", "flex", "priority"]),
            ),
        ]

    def __str__(self) -> str:
        return self.slug


class PriceAlias(models.Model):
    """Which other name does a venue's model have?"""

    id = models.AutoField(primary_key=True)
    venue = models.TextField()
    alias = models.TextField()
    model = models.TextField()
    since = models.ForeignKey(PriceVersion, on_delete=models.PROTECT, related_name="+")

    class Meta:
        db_table = "ledger_price_alias"
        constraints = [
            # An alias that meant two models would price a call by chance.
            models.UniqueConstraint(fields=["venue", "alias"], name="price_alias_means_one"),
        ]

    def __str__(self) -> str:
        return f"{self.venue}: {self.alias} = {self.model}"


class PriceRule(models.Model):
    """Which card holds for an offer, from when until when, and who says so?"""

    id = models.AutoField(primary_key=True)
    offer = models.ForeignKey(PriceOffer, on_delete=models.PROTECT, related_name="rules")
    version = models.ForeignKey(PriceVersion, on_delete=models.PROTECT, related_name="rules")
    source = models.TextField()
    source_name = models.TextField()
    evidence = models.TextField(default="")
    approved_by = models.TextField(default="")
    currency = models.TextField()
    valid_from = models.DateTimeField()
    valid_to = models.DateTimeField(null=True)
    day_from = models.TimeField(null=True)
    day_to = models.TimeField(null=True)
    threshold = models.TextField(default="whole_call")
    reasoning = models.TextField(default="inside")

    class Meta:
        db_table = "ledger_price_rule"
        constraints = [
            models.CheckConstraint(
                name="price_rule_source_known",
                condition=Q(source__in=["override", "contract", "list"]),
            ),
            # An empty interval would hold never and look like a price.
            models.CheckConstraint(
                name="price_rule_ends_after_start",
                condition=Q(valid_to__isnull=True) | Q(valid_to__gt=F("valid_from")),
            ),
            models.CheckConstraint(
                name="price_rule_day_window_whole",
                condition=Q(day_from__isnull=True, day_to__isnull=True)
                | Q(day_from__isnull=False, day_to__isnull=False),
            ),
            # Contract and override prices come from a document, never from nowhere.
            models.CheckConstraint(
                name="price_rule_own_price_has_evidence",
                condition=Q(source="list") | ~Q(evidence=""),
            ),
            models.CheckConstraint(
                name="price_rule_terms_known",
                condition=Q(threshold__in=["whole_call", "marginal"])
                & Q(reasoning__in=["inside", "outside"]),
            ),
        ]

    def __str__(self) -> str:
        return f"price rule {self.id}"


class PriceRate(models.Model):
    """What does a million units of this meter cost above so many tokens?

    Units: nanos of the rule's currency per 1,000,000 units.
    """

    id = models.BigAutoField(primary_key=True)
    rule = models.ForeignKey(PriceRule, on_delete=models.PROTECT, related_name="rates")
    meter = models.TextField()
    above_tokens = models.BigIntegerField(default=0)
    nanos_per_million = models.BigIntegerField()
    is_free_by_policy = models.BooleanField(default=False)

    class Meta:
        db_table = "ledger_price_rate"
        constraints = [
            models.UniqueConstraint(
                fields=["rule", "meter", "above_tokens"], name="price_rate_once_per_bracket"
            ),
            # A zero in somebody's data may mean unknown; only a person makes a price of 0.
            models.CheckConstraint(
                name="price_rate_zero_only_by_policy",
                condition=Q(nanos_per_million__gt=0)
                | Q(nanos_per_million=0, is_free_by_policy=True),
            ),
            models.CheckConstraint(
                name="price_rate_bracket_not_negative", condition=Q(above_tokens__gte=0)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.meter} above {self.above_tokens}"


class PriceWithdrawal(models.Model):
    """Since when does a rule no longer hold, who said so, and why?"""

    rule = models.OneToOneField(
        PriceRule, primary_key=True, on_delete=models.PROTECT, related_name="withdrawal"
    )
    version = models.ForeignKey(PriceVersion, on_delete=models.PROTECT, related_name="+")
    ended_at = models.DateTimeField()
    reason = models.TextField()

    class Meta:
        db_table = "ledger_price_withdrawal"

    def __str__(self) -> str:
        return f"end of price rule {self.rule_id}"


class PriceQuarantine(models.Model):
    """Which catalogue row was not believed, and why? Listed for a person, never a price."""

    id = models.AutoField(primary_key=True)
    catalogue = models.TextField()
    edition = models.TextField()
    name = models.TextField()
    slug = models.TextField()
    doubts = models.JSONField()
    cards = models.JSONField()
    remark = models.TextField(default="")
    content_hash = models.BinaryField(unique=True)
    seen_at = models.DateTimeField()

    class Meta:
        db_table = "ledger_price_quarantine"

    def __str__(self) -> str:
        return f"{self.catalogue}: {self.name}"
