"""Addresses of the web only: http and https, also where a server sends on to another address."""

from http.client import HTTPMessage, HTTPResponse
from typing import IO
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener


class _StayOnTheWeb(HTTPRedirectHandler):
    def redirect_request(
        self,
        req: Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> Request | None:
        if not newurl.lower().startswith(("http://", "https://")):
            reason = f"{msg}: sent on to {newurl[:200]!r}, which is not on the web"
            raise HTTPError(req.full_url, code, reason, headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def open_address(request: Request, timeout: float) -> HTTPResponse:
    """Open an http or https address as `urllib.request.urlopen` does, and no other.

    Raises:
        HTTPError: The server has nothing there, or sends on to an address of another kind.
        OSError: There is no connection.
        ValueError: It is an address of another kind.
    """
    if request.type not in ("http", "https"):
        raise ValueError(f"Expected an http or https address. Received: {request.full_url[:200]!r}")
    return build_opener(_StayOnTheWeb).open(request, timeout=timeout)
