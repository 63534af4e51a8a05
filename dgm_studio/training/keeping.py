"""What a run leaves on the disk: checkpoints, the resume file, snapshots. A full disk never ends a run."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import replace
from typing import Any

from dgm_studio.checkpoints import store
from dgm_studio.core import atomic
from dgm_studio.core.manifest import Manifest, read_manifest
from dgm_studio.core.runs import RunFolder, snapshot_stride
from dgm_studio.core.updates import Problem
from dgm_studio.training.config import TrainingConfig, first_stride
from dgm_studio.training.optimising import Optimising
from dgm_studio.training.trouble import not_saved

Saving = Generator[None, None, bool]


class Keeping:
    """Writes a run's files and remembers how that went.

    Args:
        folder: The run's.
        asked: The request that made the run, as plain data.
    """

    def __init__(self, folder: RunFolder, asked: dict[str, Any]) -> None:
        self.folder = folder
        self.asked = asked
        self.saved: int | None = None
        self.state = ""
        self.complaint = ""
        self.failed: OSError | None = None
        self.failure: dict[str, Any] | None = None
        self.snapshots = folder.snapshots()
        self._scores = {step: self._score_of(step) for step in folder.checkpoints()}

    def forget_after(self, step: int) -> None:
        """Delete what a run that was killed had kept beyond its last save: those steps are trained again."""
        for path in [self.folder.checkpoint(s) for s in self.folder.checkpoints() if s > step]:
            path.unlink(missing_ok=True)
        for path in [self.folder.snapshot(s) for s in self.snapshots if s > step]:
            path.unlink(missing_ok=True)
        self.snapshots = self.folder.snapshots()
        self._scores = {s: score for s, score in self._scores.items() if s <= step}

    def saving(self, manifest: Manifest, optimising: Optimising, extra: dict[str, Any], state: str) -> Saving:
        """Write the checkpoint, the resume file and run.json; yields every few milliseconds.

        Args:
            manifest: Of this step.
            optimising: Its tensors.
            extra: What going on needs besides them: "start", "time", "position"; and "validated", the step of the
                figures in the manifest.
            state: "training", "stopped" or "finished".

        Returns:
            Whether it worked; if not, `complaint` says why and the files of before stand.
        """
        step = manifest.step
        try:
            resume = replace(manifest, kind="resume", extra=extra)
            yield from store.saving(self.folder.resume_file, optimising.state(), resume)
            model = replace(manifest, kind="model", extra={"validated": extra["validated"]})
            yield from store.saving(self.folder.checkpoint(step), optimising.average.state_dict(), model)
            readable = json.dumps({**resume.to_json(), "tensors": "resume.safetensors"}, indent=1)
            atomic.write_atomic(self.folder.path / "resume.json", readable.encode())
            self.describe(manifest, state)
        except OSError as error:
            self.complaint, self.failed = not_saved(error, step, self.saved), error.with_traceback(None)
            return False
        self.saved, self.state, self.complaint = step, state, ""
        self._scores[step] = self._score(model)
        self._prune(int(manifest.training["keep"]))
        return True

    def describe(self, manifest: Manifest, state: str) -> None:
        """Write run.json; a failed run says why, whatever is saved later. Raises OSError when the disk is full."""
        state = "failed" if self.failure else state
        about = manifest.to_json()
        for name in ("schema", "kind", "extra", "tensors_sha256"):
            del about[name]
        self.folder.write({**about, "state": state, "failure": self.failure, "asked": self.asked})

    def _score_of(self, step: int) -> float:
        try:
            return self._score(read_manifest(self.folder.checkpoint(step)))
        except Problem:  # damaged: never the best, and pruned when its time comes
            return float("inf")

    def _score(self, manifest: Manifest) -> float:
        headline = manifest.metrics.get(manifest.headline)
        if headline is None or manifest.extra.get("validated") != manifest.step:
            return float("inf")
        return headline.value

    def best(self) -> int | None:
        """The step of the checkpoint with the best validation, None when none was validated."""
        known = {step: score for step, score in self._scores.items() if score < float("inf")}
        return min(known, key=lambda step: (known[step], step), default=None)

    def _prune(self, keep: int) -> None:
        kept = {*sorted(self._scores)[-keep:], self.best()}
        for step in [s for s in self._scores if s not in kept]:
            self.folder.checkpoint(step).unlink(missing_ok=True)
            del self._scores[step]

    def wants_snapshot(self, step: int, training: TrainingConfig) -> bool:
        """Whether the time machine has a place for this step."""
        return step not in self.snapshots and step % snapshot_stride(step, first_stride(training)) == 0

    def snapping(self, manifest: Manifest, optimising: Optimising, training: TrainingConfig) -> Saving:
        """Write a snapshot and drop those that have no place any more.

        It does not wait for the disk: a power cut may cost a snapshot, which its checksum then shows, and waiting
        would cost training a few per cent.
        """
        step = manifest.step
        try:
            tensors = store.half(optimising.average.state_dict())
            about = replace(manifest, kind="snapshot")
            yield from store.saving(self.folder.snapshot(step), tensors, about, durable=False)
            stride = snapshot_stride(step, first_stride(training))
            for old in [s for s in self.snapshots if s % stride]:
                self.folder.snapshot(old).unlink(missing_ok=True)
        except OSError as error:
            self.complaint, self.failed = not_saved(error, step, self.saved), error.with_traceback(None)
            return False
        self.snapshots = self.folder.snapshots()
        return True
