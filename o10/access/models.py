"""Who may sign in, which key may a machine call with, and who changed either?

Keys are stored as a hash; the secret is shown once, when it is made. `access_audit` is
append-only: a trigger refuses changes, and the application's role has no right to make them.
"""

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower, Now

from o10.access.roles import KEY_ROLES, PERSON_ROLES, Role

APPEND_ONLY = ("access_audit",)
"""Tables on which the application's database role may only SELECT and INSERT."""
MUTABLE = ("access_person", "access_router_key", "access_sign_in_failure")
"""Tables whose rows may change; each change has its line in `access_audit`."""


class PersonDirectory(BaseUserManager):
    """How does Django's sign-in find a person? By e-mail address, in any case."""

    def get_by_natural_key(self, email: str | None) -> "Person":
        """Which person signs in with this address?"""
        return self.get(email=(email or "").strip().casefold())


class Person(AbstractBaseUser):
    """Who works with o10? One row per human being; never deleted, only made inactive.

    `role` is what the person may do everywhere (o10.access.roles.ROLE_ACTIONS).
    """

    id = models.CharField(primary_key=True, max_length=30, help_text="public id, usr_…")
    email = models.EmailField(max_length=254, help_text="lower case; the name at sign-in")
    display_name = models.CharField(max_length=120)
    role = models.CharField(max_length=12, choices=[(r.value, r.value) for r in Role])
    is_active = models.BooleanField(default=True, help_text="false: may not sign in")
    created_at = models.DateTimeField(db_default=Now())

    objects = PersonDirectory()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS = ["display_name", "role"]

    class Meta:
        """Table and rules."""

        db_table = "access_person"
        constraints = [
            models.UniqueConstraint(fields=["email"], name="person_email_once"),
            models.CheckConstraint(
                condition=Q(email=Lower("email")), name="person_email_is_lower_case"
            ),
            models.CheckConstraint(
                condition=Q(role__in=sorted(role.value for role in PERSON_ROLES)),
                name="person_role_is_for_people",
            ),
        ]

    def __str__(self) -> str:
        """The name shown on screen."""
        return self.display_name

    @property
    def is_staff(self) -> bool:
        """May this person open Django's admin? Read-only there for everyone."""
        return self.is_active and self.role in {Role.ADMIN, Role.AUDITOR}

    def has_module_perms(self, app_label: str) -> bool:
        """May this person see the admin pages of this app?"""
        return self.is_staff

    def has_perm(self, perm: str, obj: object = None) -> bool:
        """May this person do this in Django's admin? Only look."""
        return self.is_staff and ".view_" in perm


class RouterKey(models.Model):
    """With which secret does a machine call, under which role and for which use cases?

    The secret is `o10_` and 43 base62 digits of 32 random bytes; only its SHA-256 is kept.
    `use_cases` and `verbs` are lists; null means all (of the role).
    """

    id = models.CharField(primary_key=True, max_length=30, help_text="public id, key_…")
    name = models.CharField(max_length=120)
    secret_hash = models.BinaryField(max_length=32, help_text="SHA-256 of the whole key")
    last_four = models.CharField(max_length=4, help_text="shown so that people know which")
    role = models.CharField(max_length=12, choices=[(r.value, r.value) for r in Role])
    use_cases = models.JSONField(null=True, help_text="slugs this key may name; null = all")
    verbs = models.JSONField(null=True, help_text="actions; null = all of its role")
    created_at = models.DateTimeField(db_default=Now())
    created_by = models.ForeignKey(
        Person,
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="the person it acts for; null = itself (command line)",
    )
    expires_at = models.DateTimeField(null=True, help_text="valid before this instant")
    revoked_at = models.DateTimeField(null=True)
    successor = models.ForeignKey(
        "self",
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="the key that replaced it; it ends at `expires_at`",
    )
    last_used_at = models.DateTimeField(null=True, help_text="to the minute")

    class Meta:
        """Table and rules."""

        db_table = "access_router_key"
        constraints = [
            models.UniqueConstraint(fields=["secret_hash"], name="router_key_secret_once"),
            models.CheckConstraint(
                condition=Q(role__in=sorted(role.value for role in KEY_ROLES)),
                name="router_key_role_is_for_keys",
            ),
            models.CheckConstraint(
                condition=Q(successor__isnull=True) | Q(expires_at__isnull=False),
                name="router_key_replaced_has_an_end",
            ),
        ]

    def __str__(self) -> str:
        """Name and last four characters, never the secret."""
        return f"{self.name} (…{self.last_four})"


class AccessAudit(models.Model):
    """Who changed people or keys, when, and from what to what? Append-only, no secrets."""

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField(help_text="instant of the change")
    actor = models.CharField(max_length=64, help_text="usr_…, key_… or `command-line`")
    action = models.CharField(max_length=32)
    subject = models.CharField(max_length=30, help_text="usr_… or key_… that was changed")
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)

    class Meta:
        """Table and index."""

        db_table = "access_audit"
        indexes = [models.Index(fields=["subject", "id"], name="access_audit_subject")]

    def __str__(self) -> str:
        """One line of the audit list."""
        return f"{self.at:%Y-%m-%d %H:%M} {self.actor} {self.action} {self.subject}"


class SignInFailure(models.Model):
    """How often did a sign-in fail lately, by address of the person and of the network?

    Both are hashes: the table must not become a list of people.
    """

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField()
    email_hash = models.BinaryField(max_length=32)
    network_hash = models.BinaryField(max_length=32)

    class Meta:
        """Table and indexes."""

        db_table = "access_sign_in_failure"
        indexes = [
            models.Index(fields=["email_hash", "at"], name="sign_in_failure_email"),
            models.Index(fields=["network_hash", "at"], name="sign_in_failure_network"),
        ]

    def __str__(self) -> str:
        """When it was."""
        return f"{self.at:%Y-%m-%d %H:%M}"
