"""Connects to a Ray cluster, or starts a Ray on this machine alone. The only file that imports ray, and only when asked to."""

import ipaddress
import logging
import os
import socket
from types import ModuleType

LOCAL = "local"
# A local Ray takes the machine's address, even where it is told 127.0.0.1, unless this says that it forms no cluster.
_FORMS_CLUSTERS = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
# Ray's workers give way to all else on the machine by default; beside a trainer that keeps its cores busy they would starve.
_NICENESS = "RAY_worker_niceness"
_ANSWER_SECONDS = 10.0


def connect(address: str, option: str) -> ModuleType:
  """The module `ray`, connected; `shutdown` of it ends the connection.

  Args:
    address: "local" starts a Ray on this machine, which listens on loopback alone and ends with this process; anything else is
      the address of a cluster.
    option: of the command line, which gave the address: for people.

  Raises:
    ValueError: ray is not installed, or there is no cluster.
  """
  if address == LOCAL:
    os.environ[_FORMS_CLUSTERS] = "0"  # read when ray is imported
    os.environ.setdefault(_NICENESS, "0")
  else:
    _check_answers(address, option)
  try:
    import ray
    import ray.exceptions
    import ray.util
    import ray.util.scheduling_strategies
  except ModuleNotFoundError as error:
    raise ValueError(f"{option} {address} needs Ray: pip install 'dreamerax[ray]'") from error
  dashboard = False if address == LOCAL else None  # a cluster has its own
  try:
    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=dashboard)
  except (ConnectionError, ValueError) as error:
    hint = "" if address == LOCAL else "; a cluster that asks for a token needs RAY_AUTH_MODE=token"
    raise ValueError(f"{option} {address}: {error}{hint}") from error
  if address == LOCAL and not ipaddress.ip_address(ray.util.get_node_ip_address()).is_loopback:
    ray.shutdown()
    raise ValueError(f"{option} local: this Ray would listen beyond this machine; start one and give its address")
  return ray


def node_address() -> str:
  """The address of the node that this process of Ray runs on, as Ray knows it."""
  import ray.util

  return ray.util.get_node_ip_address()


def _check_answers(address: str, option: str) -> None:
  """Ray itself goes on asking for many minutes."""
  host, _, port = address.rpartition("://")[2].rpartition(":")
  if not (host and port.isdecimal()):  # "auto", which Ray knows
    return
  try:
    socket.create_connection((host.strip("[]"), int(port)), _ANSWER_SECONDS).close()
  except (OSError, OverflowError) as error:
    raise ValueError(
      f"{option} {address}: nobody answers ({error}): give the address that `ray start` printed"
    ) from error
