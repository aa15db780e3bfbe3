"""How is a command started, and how does a wrong setting look?

`o10 <command>` and `manage.py <command>` are the same. A wrong or missing setting is one
sentence and exit code 2, never a traceback.
"""

import os
import sys


def main(argv: list[str] | None = None) -> int:
    """Which command did the person ask for? Runs it and returns the exit code."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "o10.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db import OperationalError

    try:
        execute_from_command_line(sys.argv if argv is None else argv)
    except ImproperlyConfigured as error:
        sys.stderr.write(f"o10: {error}\n")
        return 2
    except OperationalError as error:
        reason = str(error).strip().splitlines()[0]
        sys.stderr.write(
            f"o10: the database does not answer ({reason}); is `o10 up` running, or is"
            " O10_DATABASE_URL right?\n"
        )
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
