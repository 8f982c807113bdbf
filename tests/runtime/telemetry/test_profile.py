"""What a profile says of the devices' limit."""

from dreamerax.envs.base import Work
from dreamerax.runtime.telemetry.profile import STAGES, Profile


def test_products_are_told_as_a_share_of_what_the_devices_reach_in_their_dtype(monkeypatch):
  monkeypatch.setattr("dreamerax.runtime.telemetry.profile.matmul_rate", {"float32": 1e9, "bfloat16": 4e9}.get)
  profile = Profile(
    seconds=dict.fromkeys(STAGES, 10.0) | {"render": 0.0, "physics": 0.0},
    work=Work(0.0, 0.0),
    agent_steps=4,
    updates=2,
    flops={"float32": 10**9, "bfloat16": 10**9},
    batch_bytes=1,
  )
  (update,) = (line for line in profile.lines() if line.startswith("update"))
  # Two updates in ten seconds, each of 1 s in float32 and 0.25 s in bfloat16.
  assert "; 25% of 1 GFLOP/s (float32) and 4 GFLOP/s (bfloat16)" in update
