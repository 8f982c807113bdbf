"""Replay on the host: ring storage, sequence sampling, prefetch to the device, a log on disk. numpy only."""

from dreamerax.replay.config import ReplayConfig
from dreamerax.replay.log.inspect import LogReport, find_lost, inspect
from dreamerax.replay.log.load import Loaded
from dreamerax.replay.log.reshard import OldLog
from dreamerax.replay.prefetch import Prefetch
from dreamerax.replay.replay import Replay, Slots

__all__ = ["Loaded", "LogReport", "OldLog", "Prefetch", "Replay", "ReplayConfig", "Slots", "find_lost", "inspect"]
