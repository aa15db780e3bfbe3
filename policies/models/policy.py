"""Which policy was in force when, and with which keys are reservation tokens signed?"""

from django.db import models
from django.db.models import Q


class PolicyVersion(models.Model):
    """What did the compiled policy say in this version? Append-only; decisions name it.

    Most versions say only what changed; the whole policy stands in one now and then, so that
    neither a change of one envelope among ten thousand nor the reading of it costs them all.
    """

    version = models.IntegerField(primary_key=True)
    hash = models.CharField(
        max_length=64, help_text="hex SHA-256 of the whole policy's canonical JSON"
    )
    body = models.TextField(
        blank=True, help_text="the whole policy as canonical JSON; empty = `change`"
    )
    change = models.TextField(
        blank=True,
        db_default="",
        help_text="rules that read otherwise than one version before; empty = `body`",
    )
    at = models.DateTimeField()
    actor = models.CharField(max_length=64)
    entry_uid = models.UUIDField(help_text="ledger entry of the change")

    class Meta:
        """Table and rule."""

        db_table = "policies_policy_version"
        constraints = [
            models.CheckConstraint(
                condition=~Q(body="", change=""), name="policy_version_says_something"
            )
        ]

    def __str__(self) -> str:
        """Which version?"""
        return f"v{self.version} {self.hash[:12]}"


class TokenKey(models.Model):
    """With which secret are reservation tokens signed from when on? Append-only.

    Old keys are kept: a token of any age may settle.
    """

    id = models.SmallIntegerField(primary_key=True, help_text="number inside the token")
    wrapped = models.BinaryField(help_text="32 random bytes under the secret key")
    created_at = models.DateTimeField()

    class Meta:
        """Table."""

        db_table = "policies_token_key"

    def __str__(self) -> str:
        """Which key?"""
        return f"token key {self.id}"
