"""Which class a picture belongs to, by the model and by the judge; how probable it is; styles by classes."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dgm_studio.core.cards import Capability, Modality
from dgm_studio.core.requests import ClassifyDatum, DrawClassGrid, Evaluate, EvaluateClassifier, Given
from dgm_studio.core.updates import Frame, Problem, Progress, Result, Update
from dgm_studio.explore.answers import answers
from dgm_studio.explore.crossing_values import tensor_of
from dgm_studio.explore.loaded import SLICE_PIXELS, Floats, LoadedModel, as_bytes, as_floats
from dgm_studio.explore.samples import rows_of
from dgm_studio.models.capabilities import Posterior
from dgm_studio.models.judge import Judge, judge_for
from dgm_studio.training.figures import accuracies
from dgm_studio.training.order import derived_seed

if TYPE_CHECKING:
    from dgm_studio.data.dataset import Part
    from dgm_studio.explore.workbench import Workbench

JUDGE = "judge"  # the name of the supervised classifier beside those of the model
REJECTED = 0.05  # share of the validation pictures that the threshold turns away
VALID_COUNT = 500  # validation pictures that say what bounds are usual
LARGEST_PASS = 256  # pictures decoded between two yields
MOST_SAMPLES = 1000
MOST_ROWS = 100
STYLE_SAMPLES = 10  # K of the guess at the class of a picture whose style is wanted
SHARED = (
    "This model has one z for style and class: a style is where z lies within q(z | class), in standard deviations."
)


@dataclass(frozen=True)
class Contest:
    """A model that classifies, and the judge of its data where there is one.

    Args:
        model: The model.
        label: What is told of a picture.
        judge: Reads the same from the picture, by supervision alone.
    """

    model: LoadedModel
    label: Modality
    judge: Judge | None

    @property
    def classes(self) -> int:
        """How many there are."""
        return len(self.label.categories)

    def log_probs(self, x: Tensor, generator: torch.Generator, samples: int) -> dict[str, Tensor]:
        """log p(y | x) of pictures [N, *S] by every classifier, the judge last: [N, C] each. Differentiable in x."""
        found: dict[str, Tensor] = dict(self.model.module.class_log_probs(x, generator, samples))
        if self.judge is not None:
            found[JUDGE] = self.judged(x)
        return found

    def log_probs_of(self, name: str, x: Tensor, generator: torch.Generator, samples: int) -> Tensor:
        """log p(y | x) by one classifier, [N, C]. Differentiable in x."""
        if name == JUDGE:
            return self.judged(x)
        return cast(Tensor, self.model.module.class_log_probs(x, generator, samples)[name])

    def judged(self, x: Tensor) -> Tensor:
        """log p(y | x) by the judge, [N, C]; it takes erased pixels for paper. Differentiable in x."""
        assert self.judge is not None
        return self.judge.logits(x.nan_to_num(0.0))[factor_of(self.label)].log_softmax(1)

    def log_prob(self, x: Tensor, k: int, generator: torch.Generator) -> Tensor:
        """The bound on log p(x) with k samples, [N] nats."""
        return cast(Tensor, self.model.module.log_prob_bound(x, k, generator))

    def at_once(self, samples: int, share: float = 1.0) -> int:
        """How many pictures to classify or to score with so many samples between two yields; fixed, never timed.

        Args:
            samples: K.
            share: Of what is usual; a gradient takes three times as long as the value.
        """
        pixels = math.prod(self.model.modality.shape)
        decoded = min(LARGEST_PASS, 8 * SLICE_PIXELS // max(1, pixels))
        return max(1, int(share * decoded) // (self.classes * samples))


def contest(model: LoadedModel) -> Contest:
    """The classifiers of a model and of its data.

    Raises:
        Problem: The model does not classify pictures, or K makes no sense.
    """
    if Capability.CLASSIFIES not in model.card.capabilities:
        raise Problem(f"{model.card.title} does not classify.", "Choose a model of pictures and labels.")
    model.need(Capability.SCORES)
    model.need_pictures()
    label = label_of(model)

    def open_judge() -> Judge | None:
        # Weights made in inference mode could never take part in a gradient, as an attack needs.
        with torch.inference_mode(False):
            found = judge_for(model.card, model.modality.name, str(model.device))
        factors = () if found is None else tuple(f.name for f in found.factors)
        return found if factor_of(label) in factors else None

    return Contest(model, label, model.noted("judge", open_judge))


def label_of(model: LoadedModel) -> Modality:
    """The modality whose categories are the classes.

    Raises:
        Problem: The model has none.
    """
    own = getattr(model.module, "label", None)
    if isinstance(own, Modality):
        return own
    for kind in ("label", "categorical"):
        found = next((m for m in model.card.modalities if m.kind == kind and m.categories), None)
        if found is not None:
            return found
    raise Problem(f"{model.card.title} knows of no classes.", "Choose a model of pictures and labels.")


def factor_of(label: Modality) -> str:
    """The annotation that a label tells."""
    return label.about or label.name


def truths_of(part: Part, label: Modality, rows: Tensor) -> Tensor:
    """The classes of some examples, [n]; -1 where nobody knows. Annotations go first: of labels some are hidden."""
    known = part.factors.get(factor_of(label), part.others.get(label.name))
    return torch.full((len(rows),), -1) if known is None else known[rows]


def check_samples(samples: int) -> int:
    """K of a bound.

    Raises:
        Problem: Too few or too many.
    """
    if not 1 <= samples <= MOST_SAMPLES:
        raise Problem(f"A bound of {samples} samples cannot be computed.", f"Ask for 1 to {MOST_SAMPLES:,}.")
    return samples


# -- one datum -----------------------------------------------------------------------------------------------------


def picture_given(bench: Workbench, found: Contest, given: Given) -> Generator[Progress, None, tuple[Tensor, int]]:
    """The picture of a datum [1, *S], NaN where it is erased, and its class or -1.

    A picture of the user's own has the class that came with it, if one did.

    Raises:
        Problem: The picture is missing, or there is no such example.
    """
    image, label = found.model.modality, found.label
    if image.name in given.missing:
        raise Problem("The picture is missing, and there is nothing to classify.", "Give it back.")
    own = {m.name: tensor_of(m, given.values[m.name]) for m in (image, label) if given.values.get(m.name) is not None}
    truth = int(own.get(label.name, torch.tensor(-1)))
    if image.name in own:
        return own[image.name].to(found.model.device), truth
    part = (yield from bench.dataset(found.model.card.data)).split(given.split)
    row = rows_of(part, given.index, 1, given.split)
    return pictures_at(part, found.model, row), truth if label.name in own else int(truths_of(part, label, row))


def picture_of(x: Tensor) -> npt.NDArray[np.uint8]:
    """The first of pictures [1, *S] as a Frame carries it."""
    return cast("npt.NDArray[np.uint8]", as_bytes(x)[0])


def probabilities(log_probs: dict[str, Tensor]) -> dict[str, Floats]:
    """p(y | x) of the first picture by every classifier."""
    return {name: as_floats(values[0].exp()) for name, values in log_probs.items()}


@answers(ClassifyDatum)
def classify_datum(bench: Workbench, asked: ClassifyDatum) -> Iterator[Update]:
    """The classes at once; what bounds are usual among the validation pictures is worked out once, and follows."""
    found = contest(bench.model(asked.model))
    k = check_samples(asked.samples)
    x, truth = yield from picture_given(bench, found, asked.given)
    log_probs = found.log_probs(x, found.model.generator(asked.seed), k)
    score = float(found.log_prob(x, k, found.model.generator(derived_seed(asked.seed, "bound")))[0])
    data = {
        "categories": list(found.label.categories),
        "probabilities": probabilities(log_probs),
        "log_prob": score,
        "picture": picture_of(x),
        "truth": truth,
    }
    if usual_known(found, k) is None:
        yield Frame("classes", {**data, "percentile": math.nan, "threshold": math.nan})
    usual = yield from usual_scores(bench, found, k)
    # Of fewer pixels log p is higher, and says nothing beside that of whole pictures.
    percentile = float((usual < score).mean()) if bool(torch.isfinite(x).all()) else math.nan
    yield Frame("classes", {**data, "percentile": percentile, "threshold": threshold_of(usual)})


# -- how probable pictures usually are -----------------------------------------------------------------------------


def threshold_of(usual: Floats) -> float:
    """The bound below which 5 % of the validation pictures lie, nats."""
    return float(np.quantile(usual, REJECTED))


def usual_known(found: Contest, k: int) -> Floats | None:
    """The bounds of the validation pictures if they were worked out before."""
    return cast("Floats | None", found.model.note(("usual scores", k)))


def usual_scores(bench: Workbench, found: Contest, k: int) -> Generator[Progress, None, Floats]:
    """The bounds of the validation pictures [N] nats, worked out once; Progress on the way."""
    known = usual_known(found, k)
    if known is not None:
        return known
    part = (yield from bench.dataset(found.model.card.data)).split("valid")
    x = pictures_at(part, found.model, torch.arange(min(VALID_COUNT, len(part))))
    # Kept while it grows: a question that is replaced by a newer one half way leaves what it has done to that one.
    parts: list[Floats] = found.model.noted(("scoring", k), list)
    for block in scoring(found, x, k, 0, parts):
        yield Progress(block, len(x), "Scoring the validation pictures")
    usual = np.concatenate(parts)
    found.model.write(("usual scores", k), usual)
    return usual


def scoring(found: Contest, x: Tensor, k: int, seed: int, parts: list[Floats]) -> Iterator[int]:
    """Append the bounds of pictures [N, *S] to `parts`, block by block; yields how many are done.

    Every block has a generator of its own, so the figures do not depend on where the work was interrupted.
    """
    size = found.at_once(k)
    for number, some in enumerate(torch.split(x, size)):
        if number < len(parts):
            continue
        generator = found.model.generator(derived_seed(seed, "scoring", number))
        with torch.no_grad():
            parts.append(as_floats(found.log_prob(some, k, generator)))
        yield min(len(x), (number + 1) * size)


# -- styles by classes ---------------------------------------------------------------------------------------------


@answers(DrawClassGrid)
def draw_class_grid(bench: Workbench, asked: DrawClassGrid) -> Iterator[Update]:
    """Every style with every class."""
    found = contest(bench.model(asked.model))
    if not 1 <= asked.rows <= MOST_ROWS:
        raise Problem(f"A grid of {asked.rows} styles cannot be drawn.", f"Ask for 1 to {MOST_ROWS}.")
    styles = Styles(found)
    z = found.model.module.sample_latent(asked.rows, found.model.generator(asked.seed))
    if asked.own:
        x, truth = yield from picture_given(bench, found, asked.given)
        if truth < 0:
            (log_probs, *_) = found.log_probs(x, found.model.generator(asked.seed), STYLE_SAMPLES).values()
            truth = int(log_probs[0].argmax())
        z = torch.cat([styles.of(x, truth), z[1:]])
    pictures = []
    for some in torch.split(z, found.at_once(1)):
        pictures.append(as_bytes(styles.decoded(some)))
        yield Progress(sum(map(len, pictures)), len(z) * found.classes, "Decoding")
    grid = np.concatenate(pictures)
    data = {"pictures": grid.reshape(len(z), found.classes, *grid.shape[1:]), "z": as_floats(z)}
    yield Frame("class grid", {**data, "categories": list(found.label.categories), "how": styles.how})


class Styles:
    """What is left of a picture without its class, and pictures of a style and a class.

    A model that is conditioned on the class, p(x | y, z), says so itself. One that infers a shared z from a label does
    not tell the two apart: there a style is how many standard deviations z lies from the mean of q(z | y), dimension by
    dimension, and is carried to the posterior of another class.

    Args:
        found: The model and its label.

    Raises:
        Problem: The model can do neither.
    """

    def __init__(self, found: Contest) -> None:
        self.found, self.module = found, found.model.module
        self.conditional = hasattr(self.module, "decode_class")
        self.how = "" if self.conditional else SHARED
        if not self.conditional and Capability.CROSSES not in found.model.card.capabilities:
            raise Problem(f"{found.model.card.title} does not tell style and class apart.", "Choose another model.")

    def of(self, x: Tensor, y: int) -> Tensor:
        """The style of a picture [1, *S] of class y, [1, Z]."""
        if self.conditional:
            return cast(Tensor, self.module.encode_class(x, torch.tensor([y], device=x.device)).mean)
        q = self._of_classes()
        mean = self.module.infer({self._picture: x}).mean
        return cast(Tensor, (mean - q.mean[y]) / q.std[y])

    def decoded(self, z: Tensor) -> Tensor:
        """Pictures of styles [N, Z], every one in every class: [N C, *S]."""
        classes = torch.arange(self.found.classes, device=z.device).repeat(len(z))
        each = z.repeat_interleave(self.found.classes, 0)
        if self.conditional:
            return cast(Tensor, self.module.decode_class(each, classes).mean)
        q = self._of_classes()
        return cast(Tensor, self.module.generate(q.mean[classes] + q.std[classes] * each)[self._picture].mean)

    @property
    def _picture(self) -> str:
        return self.found.model.modality.name

    def _of_classes(self) -> Posterior:
        """q(z | y) of every class, [C, Z]."""
        classes = torch.arange(self.found.classes, device=self.found.model.device)
        parts = self.module.infer({self.found.label.name: classes}).components
        if len(parts) != 1:
            raise Problem("A mixture of posteriors has no one style.", "Choose a model with a product of experts.")
        return cast(Posterior, parts[0])


# -- figures -------------------------------------------------------------------------------------------------------


@answers(EvaluateClassifier)
def evaluate_classifier(bench: Workbench, asked: EvaluateClassifier) -> Iterator[Update]:
    """The share of a split that each classifier of the model gets right, with its binomial standard error."""
    found = contest(bench.model(asked.model))
    k = check_samples(asked.samples)
    part = (yield from bench.dataset(found.model.card.data)).split(asked.split)
    wanted = Evaluate(asked.model, asked.split, count=asked.count, seed=asked.seed)
    yield Result((yield from accuracies(found.model.module, found.model.card.modalities, part, wanted, k)))


def pictures_at(part: Part, model: LoadedModel, rows: Tensor) -> Tensor:
    """Pictures of a part [n, *S] where the model is."""
    return part.views(rows)[model.modality.name].to(model.device)
