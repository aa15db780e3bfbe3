"""Why: with ten thousand envelopes a policy is five megabytes, and a change is half a kilobyte.

A version says what changed (`change`); the whole policy (`body`) stands in one now and then.
Versions from before have the whole and no change, and stay what they are: append-only.
Deploy order: migrate, then restart every process; older code does not read a version that says
only what changed.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    """One column more, and what it is for."""

    dependencies = [("policies", "0005_put_aside")]

    operations = [
        migrations.AddField(
            model_name="policyversion",
            name="change",
            field=models.TextField(
                blank=True,
                db_default="",
                help_text="rules that read otherwise than one version before; empty = `body`",
            ),
        ),
        migrations.AlterField(
            model_name="policyversion",
            name="body",
            field=models.TextField(
                blank=True, help_text="the whole policy as canonical JSON; empty = `change`"
            ),
        ),
        migrations.AlterField(
            model_name="policyversion",
            name="hash",
            field=models.CharField(
                help_text="hex SHA-256 of the whole policy's canonical JSON", max_length=64
            ),
        ),
        migrations.AddConstraint(
            model_name="policyversion",
            constraint=models.CheckConstraint(
                condition=models.Q(("body", ""), ("change", ""), _negated=True),
                name="policy_version_says_something",
            ),
        ),
    ]
