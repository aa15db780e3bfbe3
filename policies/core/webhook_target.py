"""May a message be sent to this address of the web? Only to public hosts, by https.

Two looks: at the text when a channel is made, and at the addresses its name resolves to each
time something is sent. The connection is made to an address that was looked at, so that a name
which changes its mind in between reaches nothing.
Source: conventions.md section 9; docs/algorithms/alerts.md.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from o10.kernel.errors import FieldError, ValidationFailed

URL_MOST: Final = 500
LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_HTTPS_PORT: Final = 443
_HTTP_PORT: Final = 80

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class TargetForbidden(ValueError):
    """Is the host on a private network that no setting allows? Names nothing: a secret."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """Which private places may be reached? `local` = this machine, and there http too.

    Shape: `names` are host names in lower case, `networks` addresses and ranges.
    """

    local: bool = False
    names: frozenset[str] = frozenset()
    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class Target:
    """Which host, port and path are meant? Never printed: the path may be a secret."""

    secure: bool
    host: str
    port: int
    path: str

    @property
    def shown(self) -> str:
        """What people may see of it."""
        return (
            self.host if self.port in (_HTTPS_PORT, _HTTP_PORT) else f"{self.host}:{self.port}"
        )

    def __repr__(self) -> str:
        """Never the path: this may end in a log."""
        return f"Target({self.shown})"


def allowed_of(text: str, *, local: bool) -> Allowed:
    """Which private places does the setting name? A comma list of hosts, addresses, ranges."""
    names, networks = set(), []
    for each in filter(None, (part.strip().lower() for part in text.split(","))):
        try:
            networks.append(ipaddress.ip_network(each, strict=False))
        except ValueError:
            names.add(each)
    return Allowed(local, frozenset(names), tuple(networks))


def target_of(url: str, *, allowed: Allowed) -> Target:
    """Which place does this URL name?

    Raises: ValidationFailed (`validation_failed`) with `/target`.
    """
    if len(url) > URL_MOST or not url.isascii() or any(ord(each) <= 32 for each in url):
        raise _wrong("too_long", f"A URL of at most {URL_MOST} plain characters.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise _wrong("bad_format", "A URL such as https://example.com/hook.") from error
    host = (parts.hostname or "").lower()
    local = allowed.local and host in LOCAL_NAMES
    if parts.scheme != "https" and not (local and parts.scheme == "http"):
        raise _wrong("not_https", "A URL starts with https://.")
    if not host or host.endswith(".") or parts.username is not None or parts.fragment:
        raise _wrong("bad_format", "A URL names a host, without user, password or fragment.")
    if not local and host not in allowed.names:
        literal = _literal(host)
        if literal is not None and not may_reach(literal, allowed=allowed):
            raise _wrong("private", "This address is on a private network.")
        if host in LOCAL_NAMES or host.endswith((".localhost", ".local", ".internal")):
            raise _wrong("private", "This name is on a private network.")
    secure = parts.scheme == "https"
    path = parts.path or "/"
    return Target(
        secure,
        host,
        port if port is not None else _HTTPS_PORT if secure else _HTTP_PORT,
        f"{path}?{parts.query}" if parts.query else path,
    )


def reachable(target: Target, addresses: Sequence[str], *, allowed: Allowed) -> list[str]:
    """To which addresses of its name may we connect? All must be public, or none is used.

    One private address among public ones is how a name is made to lead inside.
    Raises: TargetForbidden.
    """
    found = [ipaddress.ip_address(each.partition("%")[0]) for each in addresses]
    by_name = target.host in allowed.names or (allowed.local and target.host in LOCAL_NAMES)
    if not found or not (by_name or all(may_reach(each, allowed=allowed) for each in found)):
        raise TargetForbidden
    return [str(each) for each in found]


def may_reach(address: Address, *, allowed: Allowed) -> bool:
    """Is it a public address, or one that the setting allows?"""
    return all(_may(each, allowed) for each in _meant(address))


def _may(address: Address, allowed: Allowed) -> bool:
    if any(address in network for network in allowed.networks):
        return True
    if allowed.local and address.is_loopback:
        return True
    return address.is_global and not address.is_multicast


def _meant(address: Address) -> Iterable[Address]:
    """An IPv6 address may carry an IPv4 one, which is where the packet goes."""
    if isinstance(address, ipaddress.IPv4Address):
        return (address,)
    carried: list[Address] = [
        each for each in (address.ipv4_mapped, address.sixtofour) if each is not None
    ]
    if address in _NAT64:
        carried.append(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
    if address.teredo is not None:
        carried.append(address.teredo[1])
    return carried or (address,)


_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _wrong(code: str, message: str) -> ValidationFailed:
    return ValidationFailed(errors=[FieldError("/target", code, message)])
