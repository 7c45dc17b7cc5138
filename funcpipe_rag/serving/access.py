"""Who is let in: this host alone, or whoever has the token."""

from __future__ import annotations

import hmac
import socket
from contextlib import suppress
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit


class Access:
    """Who may ask a service that listens on `host`.

    Without a token, everybody on this host and nobody else. A token is then wanted of all of them.

    >>> access = Access("127.0.0.1", token="rosebud")
    >>> access.admits("rosebud"), access.admits("snowball"), access.admits(None)
    (True, False, False)
    >>> Access("127.0.0.1").admits(None)
    True

    An address that others can reach is refused without one.

    >>> Access("0.0.0.0")
    Traceback (most recent call last):
    ...
    ValueError: Access: others can reach 0.0.0.0, so it wants a token

    A page elsewhere may have its name lead to this host and let a browser ask in its stead. Where nobody needs a token,
    a request must therefore say that it means this host, by the name that it has here.

    >>> access = Access("127.0.0.1")
    >>> access.is_meant("localhost:8000"), access.is_meant("[::1]"), access.is_meant("rebound.example")
    (True, True, False)
    """

    def __init__(self, host: str, *, token: str | None = None) -> None:
        if token is not None and not (token and token.isascii() and token.isprintable() and " " not in token):
            raise ValueError("Access: token must be of visible ASCII characters, without spaces")
        self.here_alone = is_here(host)
        if token is None and not self.here_alone:
            raise ValueError(f"Access: others can reach {host}, so it wants a token")
        self._token = None if token is None else token.encode()

    @property
    def wants_token(self) -> bool:
        """Whether a token is wanted."""
        return self._token is not None

    def admits(self, token: str | None) -> bool:
        """Whether this token opens; how long that takes does not say how much of it was right."""
        if self._token is None:
            return True
        given = (token or "").encode("utf-8", "surrogatepass")
        return hmac.compare_digest(given, self._token)

    def is_meant(self, host: str | None) -> bool:
        """Whether a request with this `Host` means us."""
        if self.wants_token:
            return True
        with suppress(ValueError):
            name = urlsplit(f"//{host or ''}").hostname or ""
            return name == "localhost" or ip_address(name).is_loopback
        return False

    def is_ours(self, origin: str | None, host: str | None) -> bool:
        """Whether a request with this `Origin` comes from our own page, or from no page at all."""
        with suppress(ValueError):
            return origin is None or urlsplit(origin).netloc == host
        return False


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens at one address; port 0 is one that is free. OSError where that cannot be."""
    family, kind, proto, _, address = _found(host, port)[0]
    bound = socket.socket(family, kind, proto)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(1024)
        bound.setblocking(False)
    except OSError as error:
        bound.close()
        why = f"{error.strerror}; choose another port, or 0 for one that is free"
        raise OSError(error.errno, why, f"{host}:{port}") from None
    return bound


def address_of(bound: socket.socket) -> str:
    """Where a socket listens, as it is written in a URL."""
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_here(host: str) -> bool:
    """Whether an address is reached from this host alone.

    >>> is_here("127.0.0.1"), is_here("::1"), is_here("0.0.0.0")
    (True, True, False)
    """
    return all(ip_address(str(one[4][0]).partition("%")[0]).is_loopback for one in _found(host, 0))


def _found(host: str, port: int) -> list[Any]:
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):
        raise ValueError(
            f"{host!r} is no address that can be listened at; 127.0.0.1 is this host's own"
        ) from None
