"""Episodes on disk, and what records them. NumPy only, and nothing that is loaded is executed: see docs/world-model.md."""

from dreamerax.recordings.folder import EpisodeFolder
from dreamerax.recordings.recorder import Recorder, record, uniform
from dreamerax.recordings.wrapper import RecordedEnv

__all__ = ["EpisodeFolder", "RecordedEnv", "Recorder", "record", "uniform"]
