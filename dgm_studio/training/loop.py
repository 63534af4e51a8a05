"""A training run as a generator of updates. No callbacks: whoever iterates it decides when it runs, pauses and ends."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Generator, Iterator
from typing import Any

import torch
from torch import nn

from dgm_studio.checkpoints import store
from dgm_studio.core import forms
from dgm_studio.core.cards import ModelCard
from dgm_studio.core.history import Journal, read_history
from dgm_studio.core.manifest import RUN, Manifest, card_of
from dgm_studio.core.requests import Train
from dgm_studio.core.runs import RunFolder, run_path
from dgm_studio.core.updates import Frame, Metrics, Problem, Progress, Result, Update
from dgm_studio.data import registry as data
from dgm_studio.data.dataset import Dataset
from dgm_studio.models import registry
from dgm_studio.models.capabilities import Counts
from dgm_studio.training import health
from dgm_studio.training.begin import Beginning, begin, edit_flag, refuse_fixed
from dgm_studio.training.config import LIVE, TrainingConfig, learning_rate, metrics_stride
from dgm_studio.training.keeping import Keeping
from dgm_studio.training.looking import Sums, reconstructing, sampling, validating
from dgm_studio.training.optimising import Figures, Optimising, measure_micro_batch
from dgm_studio.training.order import Order
from dgm_studio.training.randomness import Randomness
from dgm_studio.training.record import HEADLINE, Record, headline_of, validation_metrics
from dgm_studio.training.trouble import Trouble, free_memory, is_out_of_memory, lost, not_finite, out_of_memory, why

PROGRESS_EVERY = 0.1  # s
FLUSH_EVERY = 1.0  # s; so much of the curves a kill may cost, and they are trained again anyway
RETRY_EVERY = 3.0  # s; between two tries to save a run that has done all its steps
Steps = Generator[Update, None, None]


class Session:
    """One run that trains in this process.

    Iterate `updates()`; everything else may be called between two of its yields, on the same thread.

    Args:
        request: What to train; see `core.requests.Train`.
        device: Where.
    """

    def __init__(self, request: Train, device: torch.device | str = "cpu") -> None:
        self.request = request
        self.device = torch.device(device)
        self.folder = RunFolder(run_path(request.run))
        self._begun: Beginning | None = None
        self._optimising: Optimising | None = None
        self._data: Dataset | None = None
        self._pending: dict[str, Any] = {}
        self._card: ModelCard | None = None
        self._failed = False
        self._told = ""
        self._time = 0.0

    # -- looking at it -----------------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether the model is built; before, only `updates` may be used."""
        return self._optimising is not None

    @property
    def model(self) -> nn.Module:
        """The averaged weights in evaluation mode, refreshed in place as training goes on.

        Raises:
            Problem: The run has not begun yet.
        """
        return self._at_work.average

    @property
    def step(self) -> int:
        """Optimizer steps done."""
        return self._at_work.step

    @property
    def data(self) -> Dataset:
        """What it is trained on."""
        if self._data is None:
            raise Problem("This run has not begun yet.", "Wait a moment.")
        return self._data

    def card(self) -> ModelCard:
        """The model as it is now."""
        step, snapshots = self._at_work.step, self._keeping.snapshots
        if self._card is None or self._card.step != step or self._card.snapshots != snapshots:
            key, path = f"{RUN}{self.folder.path}", str(self.folder.path)
            self._card = card_of(self._manifest_now(), key, "run", path, snapshots, live=True)
        return self._card

    def edit(self, changes: dict[str, Any]) -> dict[str, Any]:
        """Change settings from the next step on; recorded in the run.

        Args:
            changes: Settings by name: those in `config.LIVE`, and those of the system in group "Objective".

        Returns:
            The values that are then in force.

        Raises:
            FormError: An unknown name or a refused value.
            Problem: A setting that cannot change within a run.
        """
        system = registry.config_class(self._manifest.system)
        fields = [*forms.fields_of(TrainingConfig), *forms.fields_of(system)]
        checked = forms.check_all(fields, changes)
        names = {f.name for f in forms.fields_of(TrainingConfig)}
        training = {k: v for k, v in checked.items() if k in names}
        fixed = [name for name in training if name not in LIVE]
        if fixed:
            raise Problem(f"{fixed[0]} cannot be changed while a run trains.", f"What can: {', '.join(LIVE)}.")
        refuse_fixed(system, {k: v for k, v in checked.items() if k not in names}, training)
        self._pending |= checked
        return {**{n: {**self._manifest.training, **self._manifest.config}[n] for n in checked}, **checked}

    # -- running -----------------------------------------------------------------------------------------------------

    def updates(self) -> Iterator[Update]:
        """Train to the end. Closing the generator saves; the run can then be gone on with, bit for bit.

        Yields, at least every 50 ms:
            Metrics: "train/TERM", "gradient_norm" (when measured), "learning_rate", "examples_per_second" and "beta"
                (weight of the KL now) after each recorded step, and "valid/TERM" after each validation.
            Progress: Steps done of steps in all.
            Frame: "kl", "samples", "reconstructions" and "health" at each validation; "flags" when settings change;
                "saving" {"sentence", "saved": step} when saving fails and, "sentence" empty, when it works again;
                "trouble" {"sentence", "action", "remedy"} before it fails.
            Result: The card, each time something was written.

        Raises:
            Problem: It cannot begin or go on, in words.
        """
        steps = self._steps()
        with contextlib.closing(steps):
            while True:
                started = time.perf_counter()
                try:
                    update = next(steps)
                except StopIteration:
                    return
                self._time += time.perf_counter() - started
                yield update

    def _steps(self) -> Steps:
        exists = self.folder.exists()
        if exists and self.folder.locked():
            with self.folder.lock():  # says in words why not
                pass
        begun = begin(self.request, self.folder)
        yield from self._load_data(begun.manifest.data)
        with self.folder.lock():
            self.folder.sweep()
            if self.folder.exists():
                begun = begin(self.request, self.folder)
            yield from self._open(begun)
            try:
                yield from self._train()
            finally:
                self._close()

    def _load_data(self, name: str) -> Steps:
        loading = data.loading(name)
        while True:
            try:
                done, total, text = next(loading)
            except StopIteration as finished:
                self._data = finished.value
                return
            yield Progress(done, total, text)

    def _open(self, begun: Beginning) -> Steps:
        card = self.data.card
        self._begun, self._time = begun, begun.time
        self._manifest = self._for_data(begun.manifest)
        model = registry.build(self._manifest.system, self._manifest.config, card.modalities, self._manifest.seed)
        if not registry.takes_views(model):
            self._data = self.data.seen()
        optimising = self._optimising_for(begun, model.to(self.device))
        self._manifest = dataclasses.replace(
            self._manifest,
            latent=getattr(model, "latent", 0),
            parameters=registry.parameters_of(model),
            modalities=registry.modalities_of(model, card.modalities),
        )
        if not optimising.config.micro_batch:
            text = "Measuring how much to compute at once"
            yield Progress(0, 0, text)
            found = yield from self._through(measure_micro_batch(optimising), text)
            self._set_training({"micro_batch": found}, optimising)
        self.folder.make()
        self._keeping = Keeping(self.folder, begun.asked)
        if not self.folder.exists():  # killed before its first save: nothing of it can be gone on with
            self.folder.metrics_file.unlink(missing_ok=True)
        self._record = Record(Journal(self.folder.metrics_file))
        self._optimising = optimising
        if begun.state is not None and self.folder.exists():
            self._recall(optimising.step)
        for flag in begun.flags:
            self._record.flag(flag, self._time)
        self._flush()  # who reads the curves on hearing of the flags finds on disk what they have cut off
        yield Frame("flags", {"flags": list(self._record.flags)})

    def _for_data(self, manifest: Manifest) -> Manifest:
        card = self.data.card
        if manifest.data_sha256 and manifest.data_sha256 != card.sha256:
            sentence = f"The data {card.name} are not those that this run began with."
            raise Problem(sentence, "Put them back, or start another run.")
        return dataclasses.replace(
            manifest,
            data=card.name,
            data_sha256=card.sha256,
            modalities=card.modalities,
            factors=card.factors,
            steps=int(manifest.training["steps"]),
            headline=HEADLINE,
        )

    def _optimising_for(self, begun: Beginning, model: nn.Module) -> Optimising:
        manifest, training, state = self._manifest, begun.training, begun.state
        owner = f"The weights of {begun.manifest.name}"
        if state is not None:
            store.fit(model, _below(state, "weights."), owner)
        elif begun.weights is not None:
            store.fit(model, begun.weights, owner, halved=begun.halved)
        position = int(manifest.extra.get("position", manifest.step * training.batch))
        part = self.data.split("train")
        if isinstance(model, Counts):
            model.count(part.others)
        randomness = Randomness(model, self.device, manifest.seed, begun.start)
        order = Order(len(part), manifest.seed, position)
        optimising = Optimising(model, part, training, order, randomness, begun.start)
        optimising.step = manifest.step
        if state is not None:
            store.fit(optimising.average, _below(state, "average."), owner)
            optimising.restore_optimiser(state)
        self._set_training({}, optimising)
        return optimising

    def _recall(self, step: int) -> None:
        """What this run has shown before it was stopped."""
        self._keeping.saved, self._keeping.state = step, self.folder.read().get("state", "")
        self._keeping.forget_after(step)
        history = read_history(self.folder.metrics_file)
        history.cut(step)
        self._record.recall(history)

    # -- the loop ----------------------------------------------------------------------------------------------------

    def _train(self) -> Steps:
        working = self._at_work
        self._clock = time.perf_counter()
        self._flushed = self._counted = self._clock
        self._counted_step, self._speed = working.step, 0.0
        # What a step leaves to do comes before the next one, not after it: a stop in between then loses nothing.
        yield from self._look_and_keep()
        while working.step < working.config.steps:
            if self._pending:
                yield from self._apply_edits()
            yield from self._one_step()
            yield from self._look_and_keep()
        while self._keeping.complaint:
            yield from self._wait_for_room()
        yield Progress(working.step, working.config.steps, "Trained", 0.0)
        yield Result(self.card())

    def _look_and_keep(self) -> Steps:
        """Validate, keep a snapshot and save, each when this step is the one to do it at and it was not done yet."""
        working, config = self._at_work, self._at_work.config
        first = self._keeping.saved is None and not self._keeping.complaint
        last = working.step >= config.steps
        snapshot = self._keeping.wants_snapshot(working.step, config)
        validate = first or last or working.step % config.valid_every == 0
        if (validate or snapshot) and not working.sound():
            if last:
                yield from self._give_up_spoilt()
            return  # the next step's loss will say which term and layer
        if validate and self._record.validated != working.step:
            yield from self._validate()
        if snapshot:
            yield from self._snapshot()
        if first or (last and self._keeping.state != "finished") or self._save_is_due(config):
            yield from self._keep("finished" if last else "training")
        yield from self._tell_of_saving()

    def _wait_for_room(self) -> Steps:
        """All steps are done and the disk took none of it: hold it in memory and try again."""
        until = time.perf_counter() + RETRY_EVERY
        while time.perf_counter() < until:
            time.sleep(0.01)
            yield self._progress_of("Waiting for room on the disk")
        yield from self._keep("finished")
        yield from self._tell_of_saving()

    def _save_is_due(self, config: TrainingConfig) -> bool:
        """At the first validation after `save_every` steps, so that a checkpoint has figures of its own."""
        since = self.step - (self._keeping.saved or 0)
        return self._record.validated == self.step and (since >= config.save_every or bool(self._keeping.complaint))

    def _one_step(self) -> Steps:
        working = self._at_work
        figures, short = None, False
        advancing = working.advance()
        while figures is None and not short:
            try:
                next(advancing)
            except StopIteration as finished:
                figures = finished.value
            except (RuntimeError, MemoryError) as error:
                short = is_out_of_memory(error)
                if not short:
                    raise
            else:
                yield self._progress()
        if figures is None:
            working.undo()
            free_memory(self.device)
            micro_batch = min(working.config.micro_batch, working.config.batch)
            yield from self._give_up(out_of_memory(working.step, micro_batch))
        elif not figures.finite():
            yield from self._give_up_spoilt(figures)
        else:
            yield self._after_step(figures)

    def _after_step(self, figures: Figures) -> Update:
        step, now = self.step, time.perf_counter()
        if step % metrics_stride(step):
            return self._progress()
        if now - self._counted > PROGRESS_EVERY or not self._speed:
            rate = (step - self._counted_step) / max(1e-9, now - self._counted)
            self._speed = rate if not self._speed else 0.8 * self._speed + 0.2 * rate
            self._counted, self._counted_step = now, step
        values = {f"train/{name}": value for name, value in figures.terms.items()}
        if figures.gradient_norm is not None:
            values["gradient_norm"] = figures.gradient_norm
        values["learning_rate"] = figures.learning_rate
        values["examples_per_second"] = self._speed * self._at_work.config.batch
        weigh = getattr(self._at_work.model, "kl_weight", None)
        if weigh is not None:
            values["beta"] = weigh(step - 1)
        self._record.step(step, self._time, values)
        if now - self._flushed > FLUSH_EVERY:
            self._flushed = now
            self._flush()
        return Metrics(self.folder.path.name, step, values)

    def _progress(self) -> Progress:
        done, total = self.step, self._at_work.config.steps
        left = (total - done) / self._speed if self._speed else None
        return Progress(done, total, f"Step {done:,} of {total:,}", left)

    def _give_up_spoilt(self, figures: Figures | None = None) -> Steps:
        self._failed = True  # what is on the disk is the last good state
        working = self._at_work
        rate = learning_rate(working.config, working.step, working.start)
        yield from self._give_up(not_finite(working, figures or Figures({}, None, rate), self._keeping.saved or 0))

    def _give_up(self, trouble: Trouble) -> Steps:
        flag = {"flag": "trouble", "step": self.step, "changes": {}, "sentence": trouble.sentence}
        self._record.flag(flag, self._time)
        self._flush()
        self._keeping.failure = trouble.to_json()
        with contextlib.suppress(OSError):  # the run has ended with a reason; that the disk is full too changes nothing
            self._keeping.describe(self._manifest_now(), "failed")
        yield Frame("trouble", trouble.to_json())
        raise trouble.problem()

    def _apply_edits(self) -> Steps:
        changes, self._pending = self._pending, {}
        names = {f.name for f in dataclasses.fields(TrainingConfig)}
        self._set_training({k: v for k, v in changes.items() if k in names}, self._at_work)
        config = {**self._manifest.config, **{k: v for k, v in changes.items() if k not in names}}
        self._manifest = dataclasses.replace(self._manifest, config=config)
        built = forms.build(registry.config_class(self._manifest.system), config)
        for model in (self._at_work.model, self._at_work.average):
            model.config = built
        self._card = None
        self._record.flag(edit_flag(self.step, changes), self._time)
        yield Frame("flags", {"flags": list(self._record.flags)})

    def _set_training(self, changes: dict[str, Any], optimising: Optimising) -> None:
        training = {**self._manifest.training, **changes}
        self._manifest = dataclasses.replace(self._manifest, training=training, steps=int(training["steps"]))
        optimising.config = forms.build(TrainingConfig, training)

    # -- looking and keeping -----------------------------------------------------------------------------------------

    def _validate(self) -> Steps:
        working, config = self._at_work, self._at_work.config
        part, size = self.data.split("valid"), config.micro_batch
        steps = validating(working.average, part, config.valid_count, size, self._manifest.seed, self.step)
        sums: Sums = yield from self._through(steps, "Validating")
        values = self._record.validation(self.step, self._time, sums)
        yield Metrics(self.folder.path.name, self.step, values)
        found = validation_metrics(sums)
        self._manifest = dataclasses.replace(self._manifest, metrics=found, headline=headline_of(found))
        self._card = None
        if self._record.kl is not None:
            yield Frame("kl", {"step": self.step, "kl": self._record.kl.copy()})
        yield self._health()
        yield from self._pictures()

    def _pictures(self) -> Steps:
        model, part = self.model, self.data.split("valid")
        for frames in (sampling(model, self._manifest.seed, self.step), reconstructing(model, part, self.step)):
            for frame in frames:
                yield frame if frame is not None else Progress(self.step, self._at_work.config.steps, "Drawing samples")

    def _health(self) -> Frame:
        working = self._at_work
        named = [name for name, p in working.model.named_parameters() if p.requires_grad]
        norms = [float(v) for v in working.gradient_norms]
        layers = dict(zip(named, norms, strict=True)) if len(named) == len(norms) else {}
        lines = [*self._record.health(layers), health.disk(self._keeping.complaint)]
        return Frame("health", {"lines": [line.to_json() for line in lines], "step": self.step})

    def _flush(self) -> None:
        error = self._record.flush()
        if error is not None and not self._keeping.complaint:
            self._keeping.complaint = f"The curves could not be saved: {why(error)}. They will be tried again."

    def _snapshot(self) -> Steps:
        snapping = self._keeping.snapping(self._manifest_now(), self._at_work, self._at_work.config)
        if (yield from self._through(snapping, "Keeping a snapshot")):
            yield Result(self.card())

    def _keep(self, state: str) -> Steps:
        self._flush()
        if (yield from self._through(self._saving(state), "Saving")):
            yield Result(self.card())

    def _tell_of_saving(self) -> Steps:
        """Saving has failed, again, or works again: say so; the curves get one flag for all of it."""
        complaint, told = self._keeping.complaint, self._told
        if complaint == told:
            return
        self._told = complaint
        if complaint and not told:
            self._record.flag({"flag": "disk", "step": self.step, "changes": {}, "sentence": complaint}, self._time)
            yield Frame("flags", {"flags": list(self._record.flags)})
        yield Frame("saving", {"sentence": complaint, "saved": self._keeping.saved or 0})
        yield self._health()

    def _saving(self, state: str) -> Generator[None, None, bool]:
        extra = {
            "start": self._at_work.start,
            "time": round(self._time, 3),
            "position": self._at_work.order.position,
            "validated": self._record.validated,
        }
        return self._keeping.saving(self._manifest_now(), self._at_work, extra, state)

    def _close(self) -> None:
        """Save what has been trained since the last save; the generator is closing or has failed."""
        working = self._at_work
        working.undo()
        self._flush()
        if self._failed or self._keeping.saved == working.step or not working.sound():
            return
        saving = self._saving("stopped")
        for _ in saving:
            pass
        if self._keeping.complaint:
            raise lost(self._keeping.failed, working.step, self._keeping.saved)

    def _through(self, work: Iterator[Any], text: str) -> Generator[Update, None, Any]:
        """Do a piece of work step by step and say what it is; its result."""
        while True:
            try:
                next(work)
            except StopIteration as finished:
                return finished.value
            yield self._progress_of(text)

    def _progress_of(self, text: str) -> Progress:
        return Progress(self.step, self._at_work.config.steps, text) if self.ready else Progress(0, 0, text)

    def _manifest_now(self) -> Manifest:
        return dataclasses.replace(self._manifest, step=self.step, kind="model", extra={})

    @property
    def _at_work(self) -> Optimising:
        if self._optimising is None:
            raise Problem("This run has not begun yet.", "Wait a moment.")
        return self._optimising


def _below(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
