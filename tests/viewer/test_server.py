"""The sessions over HTTP, as a browser asks and as a stranger does."""

import base64
import json
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from threading import Event, Thread
from typing import Any

import imageio.v3 as imageio
import numpy as np
import psutil
import pytest

from dreamerax.viewer.server import Server
from tests import tiny
from tests.viewer import toys


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
  with toys.serving() as server:
    yield server


def send(server: Server, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
  connection = HTTPConnection("127.0.0.1", server.server_port)
  names = {name.replace("_", "-"): value for name, value in headers.items()}
  connection.request("GET" if body is None else "POST", path, body, names)
  answer = connection.getresponse()
  status, text = answer.status, answer.read()
  connection.close()
  return status, text


def ask(server: Server, path: str, **question: Any) -> tuple[int, Any]:
  status, text = send(server, path, json.dumps(question).encode(), Content_Type="application/json")
  return status, json.loads(text)


def begin(server: Server, where: float = 0.5) -> Any:
  status, answer = ask(server, "/api/begin", where=where)
  assert status == 200, answer
  return answer


def step(server: Server, dream: str, action: list[float] | None) -> Any:
  status, answer = ask(server, "/api/step", dream=dream, action=action)
  assert status == 200, answer
  return answer


def pixels(address: str) -> np.ndarray:
  assert address.startswith("data:image/png;base64,")
  return imageio.imread(base64.b64decode(address.partition(",")[2]))


def test_a_dream_begins_and_goes_on(server: Server):
  began = begin(server, 0.25)
  assert began["start"] == "at 0.25" and (began["step"], began["action"]) == (0, None)
  seen = toys.steps(toys.dreamer().agent.spec, seed=25).observation["image"][-1]
  np.testing.assert_array_equal(pixels(began["seen"]["image"]), seen)
  after = step(server, began["dream"], [0.5, -1])
  assert (after["step"], after["action"]) == (1, [0.5, -1])
  assert pixels(after["pictures"]["image"]).shape == (12, 12, 3)
  assert all(isinstance(after[name], float) for name in ("reward", "value", "continues"))
  assert step(server, began["dream"], None)["step"] == 2


def test_a_goal_is_shown_for_the_dream_and_is_no_part_of_what_was_seen():
  began = toys.sessions("GOALS").begin(0.25)
  steps = toys.steps(tiny.GOALS, seed=25).observation
  assert began["seen"].keys() == began["goal"].keys() == began["pictures"].keys() == {"image"}
  np.testing.assert_array_equal(pixels(began["goal"]["image"]), steps["goal/image"][-1])
  np.testing.assert_array_equal(pixels(began["seen"]["image"]), steps["image"][-1])


def test_without_a_goal_none_is_shown(server: Server):
  assert begin(server)["goal"] == {}


def test_two_tabs_do_not_disturb_each_other(server: Server):
  alone = begin(server)
  expected = [step(server, alone["dream"], [1, 0]) for _ in range(3)]
  one, other = begin(server), begin(server)
  mixed = []
  for _ in range(3):
    mixed.append(step(server, one["dream"], [1, 0]))
    step(server, other["dream"], [-1, 0.5])
  assert mixed == expected


def test_a_dream_can_begin_again(server: Server):
  first = begin(server)
  after = step(server, first["dream"], [1, 0])
  status, again = ask(server, "/api/again", dream=first["dream"])
  assert status == 200 and again["dream"] != first["dream"] and again["pictures"] == first["pictures"]
  assert step(server, again["dream"], [1, 0]) == after
  assert step(server, first["dream"], [1, 0])["step"] == 2


def test_what_nobody_dreams_any_more_is_forgotten(server: Server, monkeypatch: pytest.MonkeyPatch):
  monkeypatch.setattr(server, "sessions", toys.sessions(most=2))
  kept, left = begin(server)["dream"], begin(server)["dream"]
  step(server, kept, [0, 0])
  begin(server)
  assert step(server, kept, [0, 0])["step"] == 2
  for path, question in (("/api/step", {"action": None}), ("/api/again", {})):
    status, answer = ask(server, path, dream=left, **question)
    assert status == 410 and "begin another" in answer["error"]


def test_the_page_needs_nothing_from_elsewhere(server: Server):
  for path in ("/", "/page.css", "/page.js", "/charts.js"):
    status, text = send(server, path)
    assert status == 200 and b"http" not in text
  about = json.loads(send(server, "/api/about")[1])
  assert about["action"] == {"size": 2, "discrete": False, "groups": []} and about["title"]["task"] == "toy"


@pytest.mark.parametrize(
  ("path", "question", "why"),
  [
    ("/api/begin", {"where": "here"}, "where='here' must be a number"),
    ("/api/begin", {"where": True}, "must be a number"),
    ("/api/begin", {"where": 1.5}, "must lie in"),
    ("/api/begin", {"place": 1}, "where is expected"),
    ("/api/begin", {"where": 10**400}, "must lie in"),
    ("/api/step", {"dream": 7, "action": None}, "dream=7.0 must be a name"),
    ("/api/step", {"dream": "", "action": "left"}, "list of numbers"),
    ("/api/step", {"dream": None, "action": [0]}, "2 finite numbers"),
    ("/api/step", {"dream": None, "action": [float("inf"), 0]}, "finite"),
  ],
)
def test_mistakes_are_told(server: Server, path: str, question: dict[str, Any], why: str):
  if question.get("dream", "") is None:
    question = {**question, "dream": begin(server)["dream"]}
  status, answer = ask(server, path, **question)
  assert status == 400 and why in answer["error"]


def test_strangers_are_refused(server: Server):
  question, kind = b'{"where": 0.5}', {"Content_Type": "application/json"}
  port = server.server_port
  assert send(server, "/", Host=f"localhost:{port}")[0] == 200
  assert send(server, "/", Host="rebound.example")[0] == 403
  assert send(server, "/", Host=f"rebound.example:{port}")[0] == 403
  assert send(server, "/api/begin", question, **kind, Origin=f"http://127.0.0.1:{port}")[0] == 200
  assert send(server, "/api/begin", question, **kind, Origin="https://other.example")[0] == 403
  assert send(server, "/api/begin", question, Content_Type="text/plain")[0] == 415
  assert send(server, "/api/begin", b"x" * 70_000, **kind)[0] == 413
  assert send(server, "/api/begin", b"{", **kind)[0] == 400
  assert send(server, "/../server.py")[0] == 404 and send(server, "/api/end", b"{}", **kind)[0] == 404


def test_only_the_loopback_address_listens(server: Server):
  connections = psutil.Process().net_connections()
  ours = {c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN and c.laddr.port == server.server_port}
  assert ours == {"127.0.0.1"}


def test_a_busy_port_is_said(server: Server):
  with pytest.raises(ValueError, match=f"port={server.server_port} is in use: choose another --port, or 0"):
    Server(toys.sessions(), server.server_port)


def test_leaving_waits_for_the_step_under_way(monkeypatch: pytest.MonkeyPatch):
  began, done = Event(), Event()

  def slow(*arguments: Any) -> Any:
    began.set()
    time.sleep(0.3)
    done.set()
    raise ValueError("enough")

  with toys.serving() as server:
    dream = begin(server)["dream"]
    monkeypatch.setattr(toys.dreamer(), "step", slow)
    person = Thread(target=ask, args=(server, "/api/step"), kwargs={"dream": dream, "action": None})
    person.start()
    assert began.wait(10)
  assert done.is_set()
  person.join()
