"""Replay on the host: ring storage, sequence sampling, prefetch to the device. numpy only."""

from dreamerax.replay.prefetch import Prefetch
from dreamerax.replay.replay import Replay, ReplayConfig, Slots

__all__ = ["Prefetch", "Replay", "ReplayConfig", "Slots"]
