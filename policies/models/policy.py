"""Which policy was in force when, and with which keys are reservation tokens signed?"""

from django.db import models


class PolicyVersion(models.Model):
    """What did the compiled policy say in this version? Append-only; decisions name it."""

    version = models.IntegerField(primary_key=True)
    hash = models.CharField(max_length=64, help_text="hex SHA-256 of `body`")
    body = models.TextField(help_text="canonical JSON of the compiled policy")
    at = models.DateTimeField()
    actor = models.CharField(max_length=64)
    entry_uid = models.UUIDField(help_text="ledger entry of the change")

    class Meta:
        """Table."""

        db_table = "policies_policy_version"

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
