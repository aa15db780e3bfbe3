"""Which settings are there, with which unit, default and hint?

Every `O10_*` variable is read here, once. A wrong value raises ImproperlyConfigured with one
sentence; `o10.cli` prints it without a traceback.
"""

import os
import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import dj_database_url
from django.core.exceptions import ImproperlyConfigured

from o10 import database, embedded

BASE_DIR = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Setting:
    """What does one environment variable mean?"""

    name: str
    default: str
    unit: str
    hint: str
    check: Callable[[str], str | None] = lambda value: None
    """Returns what is wrong with a value, or None."""


def _one_of(*values: str) -> Callable[[str], str | None]:
    wanted = " or ".join(values)
    return lambda value: None if value in values else f"must be {wanted}"


def _scheme(*schemes: str) -> Callable[[str], str | None]:
    wanted = ", ".join(f"{scheme}://" for scheme in schemes)

    def check(value: str) -> str | None:
        if not value or urlsplit(value).scheme in schemes:
            return None
        return f"must start with one of {wanted}"

    return check


def _zone(value: str) -> str | None:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError):
        return "must be an IANA time zone such as Europe/Berlin"
    return None


def _currency(value: str) -> str | None:
    good = len(value) == 3 and value.isascii() and value.isalpha() and value.isupper()
    return None if good else "must be a three-letter ISO 4217 code such as USD"


def _readable(value: str) -> str | None:
    if not value or os.access(value, os.R_OK):
        return None
    return "must name a file this process can read"


def _not_yet(value: str) -> str | None:
    return "is not served by this version: leave it empty" if value else None


SETTINGS = (
    Setting("O10_HOME", ".o10", "directory", "data directory: database, keys, static files"),
    Setting(
        "O10_DATABASE_URL",
        "",
        "URL",
        "external PostgreSQL >= 15 (the owner's log-in); empty = embedded",
        _scheme("postgresql", "postgres"),
    ),
    Setting(
        "O10_BROKER_URL",
        "",
        "URL",
        "Celery broker: amqp://, redis://; empty = files under O10_HOME, one machine",
        _scheme("amqp", "amqps", "redis", "rediss", "filesystem"),
    ),
    Setting(
        "O10_SECRET_KEY", "", "text", "signs sessions, derives role passwords; empty = made"
    ),
    Setting(
        "O10_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]", "comma list", "host names served"
    ),
    Setting(
        "O10_SIGNING_KEY_FILE",
        "",
        "file",
        "Ed25519 key of ledger checkpoints (PEM, mode 0600); empty = made under O10_HOME",
        _readable,
    ),
    Setting(
        "O10_BASE_URL",
        "http://127.0.0.1:8010",
        "URL",
        "how people reach the pages; links in exports; the ledger's origin",
        _scheme("http", "https"),
    ),
    Setting(
        "O10_EMAIL_URL",
        "",
        "URL",
        "smtp://user:password@host:587 for mail; empty = mail is written to the log",
        _scheme("smtp", "smtps"),
    ),
    Setting(
        "O10_WEBHOOK_PRIVATE",
        "",
        "comma list",
        "hosts, addresses or ranges on private networks that alerts may be posted to",
    ),
    Setting("O10_OIDC_ISSUER", "", "URL", "single sign-on: issuer; not yet served", _not_yet),
    Setting("O10_OIDC_CLIENT_ID", "", "text", "single sign-on; not yet served", _not_yet),
    Setting("O10_OIDC_CLIENT_SECRET", "", "text", "single sign-on; not yet served", _not_yet),
    Setting("O10_REPORTING_CURRENCY", "USD", "ISO 4217", "currency of the ledger", _currency),
    Setting("O10_TIME_ZONE", "UTC", "IANA zone", "zone of the company's days", _zone),
    Setting(
        "O10_HOT_PATH",
        "1",
        "0 or 1",
        "0 sends the spend verbs through Django, for comparison",
        _one_of("0", "1"),
    ),
    Setting(
        "O10_DEBUG", "0", "0 or 1", "developer's error pages; never in use", _one_of("0", "1")
    ),
)


def read_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Which value has each setting?

    Raises: ImproperlyConfigured naming the variable, what is wrong and the hint.
    """
    values = {}
    for setting in SETTINGS:
        value = environment.get(setting.name, "").strip() or setting.default
        wrong = setting.check(value)
        if wrong:
            raise ImproperlyConfigured(f"{setting.name} {wrong} ({setting.hint}).")
        values[setting.name] = value
    known = {setting.name for setting in SETTINGS}
    for name in environment:
        if name.startswith("O10_") and name not in known:
            raise ImproperlyConfigured(
                f"{name} is not a setting of o10; the known ones are in the README table."
            )
    return values


def _kept_secret(path: Path) -> str:
    """The secret of this installation: made once, readable by its owner alone."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    except OSError as error:
        raise ImproperlyConfigured(
            f"O10_HOME must be writable for this process ({path}: {error.strerror})."
        ) from error
    with os.fdopen(made, "w") as secret:
        text = secrets.token_urlsafe(48)
        secret.write(text)
    return text


_values = read_settings(os.environ)

O10_HOME = Path(_values["O10_HOME"]).expanduser()
if not O10_HOME.is_absolute():
    O10_HOME = (BASE_DIR if (BASE_DIR / "manage.py").exists() else Path.cwd()) / O10_HOME
O10_HOT_PATH = _values["O10_HOT_PATH"] == "1"
O10_BASE_URL = _values["O10_BASE_URL"].rstrip("/")
O10_WEBHOOK_PRIVATE = _values["O10_WEBHOOK_PRIVATE"]
O10_REPORTING_CURRENCY = _values["O10_REPORTING_CURRENCY"]
O10_TIME_ZONE = _values["O10_TIME_ZONE"]
O10_SIGNING_KEY_FILE = _values["O10_SIGNING_KEY_FILE"] or str(
    O10_HOME / "keys" / "ledger_ed25519.pem"
)
O10_SECRET_KEY_GIVEN = bool(_values["O10_SECRET_KEY"])

SECRET_KEY = _values["O10_SECRET_KEY"] or _kept_secret(O10_HOME / "secrets" / "secret_key")
if len(SECRET_KEY) < 32:
    raise ImproperlyConfigured("O10_SECRET_KEY must have at least 32 characters.")
DEBUG = _values["O10_DEBUG"] == "1"
ALLOWED_HOSTS = [
    host.strip() for host in _values["O10_ALLOWED_HOSTS"].split(",") if host.strip()
]

EMBEDDED_DATABASE = "o10"
EMBEDDED_OWNER = "o10_owner"


def _databases() -> dict[str, dict[str, object]]:
    url = _values["O10_DATABASE_URL"]
    if url:
        try:
            owner = dict(dj_database_url.parse(url, engine="django.db.backends.postgresql"))
        except (ValueError, KeyError) as error:
            raise ImproperlyConfigured(
                "O10_DATABASE_URL must look like postgresql://user:password@host:5432/database."
            ) from error
        if not owner.get("NAME"):
            raise ImproperlyConfigured("O10_DATABASE_URL must name a database after the host.")
    else:
        owner = {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": EMBEDDED_DATABASE,
            "USER": EMBEDDED_OWNER,
            "PASSWORD": database.role_password(secret_key=SECRET_KEY, role=EMBEDDED_OWNER),
            "HOST": str(embedded.cluster_at(O10_HOME).sockets),
            "PORT": "",
        }
    owner = {
        **owner,
        "CONN_MAX_AGE": 600,
        "CONN_HEALTH_CHECKS": True,
        "DISABLE_SERVER_SIDE_CURSORS": True,
    }
    owner["OPTIONS"] = {**owner.get("OPTIONS", {}), "connect_timeout": 3}
    made = {"owner": owner}
    for alias, suffix in (("default", database.APP_SUFFIX), ("sealer", database.SEALER_SUFFIX)):
        role = f"{owner['NAME']}{suffix}"
        password = database.role_password(secret_key=SECRET_KEY, role=role)
        made[alias] = {**owner, "USER": role, "PASSWORD": password}
    return made


DATABASES = _databases()
O10_EMBEDDED = not _values["O10_DATABASE_URL"]

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.admin",
    "rest_framework",
    "drf_spectacular",
    "django_htmx",
    "o10.apps.WiringConfig",
    "o10.access",
    "ledger",
    "policies",
    "reports",
]
MIDDLEWARE = [
    "o10.middleware.RequestId",
    "django.middleware.security.SecurityMiddleware",
    "o10.middleware.SecurityHeaders",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "o10.middleware.KeptClock",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "o10.middleware.Problems",
]
CSRF_FAILURE_VIEW = "o10.problems.csrf_failure"
ROOT_URLCONF = "o10.urls"
WSGI_APPLICATION = "o10.wsgi.application"
AUTH_USER_MODEL = "access.Person"
LOGIN_URL = "/sign-in/"
LOGIN_REDIRECT_URL = "/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
APPEND_SLASH = True

_packaged = Path(__file__).resolve().parent
TEMPLATE_DIR = (
    BASE_DIR / "templates" if (BASE_DIR / "templates").exists() else _packaged / "_templates"
)
STATIC_DIR = BASE_DIR / "static" if (BASE_DIR / "static").exists() else _packaged / "_static"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [TEMPLATE_DIR],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "o10.frame.page_frame",
            ],
        },
    }
]

STATIC_URL = "/static/"
STATICFILES_DIRS = [STATIC_DIR]
STATIC_ROOT = O10_HOME / "static"
_collected = (STATIC_ROOT / "staticfiles.json").exists() or "collectstatic" in sys.argv
WHITENOISE_USE_FINDERS = not _collected
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if _collected
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}

LANGUAGE_CODE = "en"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"
"""Instants are UTC everywhere; O10_TIME_ZONE is the zone of the company's periods."""

PASSWORD_HASHERS = ["django.contrib.auth.hashers.ScryptPasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

_https = O10_BASE_URL.startswith("https://")
SESSION_COOKIE_SECURE = _https
CSRF_COOKIE_SECURE = _https
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_TRUSTED_ORIGINS = [O10_BASE_URL]
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_HSTS_SECONDS = 31536000 if _https else 0
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 17 * 1024 * 1024

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["o10.access.rest.KeyOrSession"],
    "DEFAULT_PERMISSION_CLASSES": ["o10.access.rest.Authenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "o10.problems.drf_exception_handler",
    "UNAUTHENTICATED_USER": None,
    "COERCE_DECIMAL_TO_STRING": True,
}

SPECTACULAR_SETTINGS = {
    "TITLE": "o10",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "POSTPROCESSING_HOOKS": ["o10.openapi.add_wire"],
    "SCHEMA_PATH_PREFIX": "/api/v1",
}

CELERY_BROKER_DIRECTORY = O10_HOME / "broker"
CELERY_BROKER_URL = _values["O10_BROKER_URL"] or "filesystem://localhost//"
LOGGING_CONFIG = None

DEFAULT_FROM_EMAIL = f"o10@{urlsplit(O10_BASE_URL).hostname or 'localhost'}"
EMAIL_TIMEOUT = 10
if _values["O10_EMAIL_URL"]:
    _mail = urlsplit(_values["O10_EMAIL_URL"])
    EMAIL_HOST = _mail.hostname or "localhost"
    EMAIL_PORT = _mail.port or 587
    EMAIL_HOST_USER = _mail.username or ""
    EMAIL_HOST_PASSWORD = _mail.password or ""
    EMAIL_USE_SSL = _mail.scheme == "smtps"
    EMAIL_USE_TLS = _mail.scheme == "smtp" and EMAIL_PORT == 587
else:
    EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
