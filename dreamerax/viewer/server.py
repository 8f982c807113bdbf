"""Sessions over HTTP, on this machine's loopback address and for its own browsers only."""

import errno
import json
import sys
from collections.abc import Callable
from functools import cached_property
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any

from dreamerax.viewer.sessions import Forgotten, Sessions

ADDRESS = "127.0.0.1"
_LONGEST = 2**16  # bytes of a question
_FILES = {
  "/charts.js": ("charts.js", "text/javascript"),
  "/": ("page.html", "text/html"),
  "/page.css": ("page.css", "text/css"),
  "/page.js": ("page.js", "text/javascript"),
}
_HEADERS = {
  "Cache-Control": "no-store",
  "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'",
  "X-Content-Type-Options": "nosniff",
}


class Refused(Exception):
  """A request that is not answered, and why."""

  def __init__(self, status: HTTPStatus, why: str):
    super().__init__(why)
    self.status = status


class Server(ThreadingHTTPServer):
  """Serves once `serve_forever` is called."""

  def __init__(self, sessions: Sessions, port: int):
    """
    Args:
      port: 0 takes any that is free.

    Raises:
      ValueError: the port is in use or not ours to take.
    """
    self.sessions = sessions
    self.static = {
      path: (files("dreamerax.viewer").joinpath("static", name).read_bytes(), kind)
      for path, (name, kind) in _FILES.items()
    }
    try:
      super().__init__((ADDRESS, port), _Handler)
    except OSError as error:
      why = "in use" if error.errno == errno.EADDRINUSE else f"not to be had ({error})"
      raise ValueError(f"port={port} is {why}: choose another --port, or 0 for any that is free") from error

  def server_close(self) -> None:
    """Takes no more questions, and waits for the step under way; leaving a `with` does it."""
    super().server_close()
    self.sessions.close()

  def handle_error(self, request: Any, client_address: Any) -> None:
    """Says nothing of a browser that has gone before its answer came."""
    if not isinstance(sys.exception(), ConnectionError):
      super().handle_error(request, client_address)

  @property
  def url(self) -> str:
    return f"http://{ADDRESS}:{self.server_port}/"

  @cached_property
  def hosts(self) -> set[str]:
    """The names by which a browser that was told our address calls us. A foreign name
    that leads here is another site's (DNS rebinding)."""
    port = "" if self.server_port == 80 else f":{self.server_port}"
    return {f"{name}{port}" for name in (ADDRESS, "localhost")}


class _Handler(BaseHTTPRequestHandler):
  server: Server  # type: ignore[assignment]
  protocol_version = "HTTP/1.1"  # one connection for many steps
  wbufsize = -1  # an answer leaves in one piece, or its second half may wait for a slow acknowledgement
  disable_nagle_algorithm = True

  def do_GET(self) -> None:
    self._answer(self._get)

  def do_POST(self) -> None:
    self._answer(self._post)

  def log_message(self, format: str, *args: Any) -> None:
    """Says nothing: a line for each step would bury everything else."""

  def _answer(self, answer: Callable[[], tuple[bytes, str]]) -> None:
    status = HTTPStatus.OK
    try:
      self._check_origin()
      body, kind = answer()
    except (Refused, Forgotten, ValueError) as error:
      status = _status(error)
      body, kind = json.dumps({"error": str(error)}).encode(), "application/json"
      self.close_connection = True  # what was sent along may be unread
    self.send_response(status)
    for name, value in (*_HEADERS.items(), ("Content-Type", kind), ("Content-Length", str(len(body)))):
      self.send_header(name, value)
    if self.close_connection:
      self.send_header("Connection", "close")
    self.end_headers()
    self.wfile.write(body)

  def _check_origin(self) -> None:
    host, origin = self.headers.get("Host"), self.headers.get("Origin")
    if host not in self.server.hosts:
      raise Refused(HTTPStatus.FORBIDDEN, f"this page is at {self.server.url} only, and not at {host}")
    if origin not in (None, f"http://{host}"):
      raise Refused(HTTPStatus.FORBIDDEN, f"{origin} has no business here")

  def _get(self) -> tuple[bytes, str]:
    if self.path == "/api/about":
      return _json(self.server.sessions.about())
    if self.path not in self.server.static:
      raise Refused(HTTPStatus.NOT_FOUND, f"there is no {self.path}")
    body, kind = self.server.static[self.path]
    return body, f"{kind}; charset=utf-8"

  def _post(self) -> tuple[bytes, str]:
    sessions = self.server.sessions
    if self.path == "/api/begin":
      (where,) = self._question("where")
      if not _is_number(where):
        raise ValueError(f"where={where!r} must be a number")
      return _json(sessions.begin(where))
    if self.path == "/api/again":
      (dream,) = self._question("dream")
      return _json(sessions.again(_name(dream)))
    if self.path == "/api/step":
      dream, action = self._question("dream", "action")
      if action is not None and not (isinstance(action, list) and all(map(_is_number, action))):
        raise ValueError(f"action={action!r} must be a list of numbers, or null")
      return _json(sessions.step(_name(dream), action))
    raise Refused(HTTPStatus.NOT_FOUND, f"there is no {self.path}")

  def _question(self, *names: str) -> list[Any]:
    """The values of a JSON object that has exactly these names. Other sites' forms cannot send this type of content."""
    if self.headers.get_content_type() != "application/json":
      raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Content-Type must be application/json")
    length = self.headers.get("Content-Length", "")
    if not length.isdecimal() or int(length) > _LONGEST:
      raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"Content-Length={length} must be at most {_LONGEST}")
    question = json.loads(self.rfile.read(int(length)), parse_int=float)
    if not isinstance(question, dict) or question.keys() != set(names):
      raise ValueError(f"a JSON object with {' and '.join(names)} is expected")
    return [question[name] for name in names]


def _is_number(value: Any) -> bool:
  return isinstance(value, float)


def _name(value: Any) -> str:
  if not isinstance(value, str):
    raise ValueError(f"dream={value!r} must be a name")
  return value


def _json(answer: Any) -> tuple[bytes, str]:
  return json.dumps(answer, allow_nan=False).encode(), "application/json"


def _status(error: Exception) -> HTTPStatus:
  if isinstance(error, Refused):
    return error.status
  return HTTPStatus.GONE if isinstance(error, Forgotten) else HTTPStatus.BAD_REQUEST
