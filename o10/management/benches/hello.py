"""What is the least that Django answers? One view, no middleware, no database."""

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=__name__,
        SECRET_KEY="nothing is signed here",  # noqa: S106
        MIDDLEWARE=[],
        INSTALLED_APPS=[],
        LOGGING_CONFIG=None,
        USE_TZ=True,
    )

BODY = b"hello"


def hello(request: HttpRequest) -> HttpResponse:
    """Five letters."""
    return HttpResponse(BODY, content_type="text/plain", headers={"Content-Length": "5"})


urlpatterns = [path("", hello)]
application = get_wsgi_application()
