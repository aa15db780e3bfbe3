"""How do routers enter? The same application as the web, on a port and workers of its own."""

from o10.wsgi import application

__all__ = ["application"]
