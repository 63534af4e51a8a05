"""How films branch: what a new branch is made of, which are thrown away, what makes one different in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

from dgm_studio.core.requests import Beginning, Sampling
from dgm_studio.core.requests.denoising import CLIPS, SAMPLERS, SPACINGS
from dgm_studio.gui.panels.denoise_state import MOST_STEPS, MOST_TAKES, ROOT, Stage, Take

ORIGINAL = "Original"
DRAWS = ("ddpm",)  # samplers that draw noise on their way whatever their settings are
_WORDS: Mapping[str, Callable[[Any], str]] = {
    "sampler": lambda v: SAMPLERS.get(v, v),
    "steps": lambda v: f"{v} steps",
    "spacing": lambda v: f"{SPACINGS.get(v, 'suited')} spacing".lower(),
    "eta": lambda v: f"eta {v:g}",
    "churn": lambda v: f"churn {v:g}",
    "variance": lambda v: f"variance {v}",
    "guidance": lambda v: f"guidance {v:g}",
    "clip": lambda v: f"clipped: {CLIPS.get(v, v).lower()}",
    "percentile": lambda v: f"percentile {v:g}",
}


# -- words -------------------------------------------------------------------------------------------------------------


_OF_ONE = {"eta": "ddim", "churn": "heun", "variance": "ddpm"}  # settings that mean something to one sampler only


def film_words(stage: Stage, take: Take) -> str:
    """What makes a film different from the one it branches from."""
    if not take.parent:
        return f"{ORIGINAL} \N{MIDDLE DOT} {SAMPLERS[take.sampling.sampler]}, {take.sampling.steps} steps"
    parent = stage.state.take(take.parent)
    told = [_WORDS[name](getattr(take.sampling, name)) for name in _changed(parent.sampling, take.sampling)]
    if take.seed != parent.seed:
        told.append(f"seed {take.seed}")
    if dict(take.condition) != dict(parent.condition):
        told.append(given_words(stage, take.condition) or "free")
    if take.beginning.mask != parent.beginning.mask:
        told.append("other mask" if take.beginning.mask else "no mask")
    return ", ".join(told) or "same as its parent"


def given_words(stage: Stage, condition: Mapping[str, Any]) -> str:
    """A condition in words."""
    told = []
    for modality in stage.conditions():
        value = condition.get(modality.name)
        if value is None:
            continue
        if modality.kind in ("label", "categorical"):
            told.append(f"{modality.name} {modality.categories[int(value)]}")
        elif modality.kind == "attributes":
            known = [(c, v) for c, v in zip(modality.columns, value, strict=False) if v >= 0]
            told += [f"{column.name} {column.categories[v]}" for column, v in known]
        else:
            told.append(f"\N{LEFT DOUBLE QUOTATION MARK}{value}\N{RIGHT DOUBLE QUOTATION MARK}")
    return ", ".join(told)


def _changed(before: Sampling, after: Sampling) -> list[str]:
    idle = {name for name, sampler in _OF_ONE.items() if after.sampler != sampler}
    return [name for name in _WORDS if getattr(before, name) != getattr(after, name) and name not in idle]


# -- making and throwing -----------------------------------------------------------------------------------------------


def branch_step(shown: int, last: int) -> int:
    """Where a branch would leave: at the playhead; half way where the playhead is at the data."""
    return shown if shown < last else last // 2


def branch(stage: Stage, step: int) -> bool:
    """Go on from a step of the selected film with other noise; False when there are too many films.

    A sampler that draws no noise gets some: without it the branch would repeat its parent.
    """
    take = stage.take
    sampling = take.sampling
    if sampling.sampler == "ddim" and sampling.eta == 0:
        sampling = replace(sampling, eta=1.0)
    elif sampling.sampler == "heun" and sampling.churn == 0:
        sampling = replace(sampling, churn=40.0)
    elif sampling.sampler not in (*DRAWS, "ddim", "heun") and not (stage.about.get("samplers") or {}).get("ddim", ""):
        sampling = replace(sampling, sampler="ddim", eta=1.0)
    return _add(stage, step, sampling, take.seed + 1, f"Branch at step {step}")


def finer(stage: Stage, step: int) -> bool:
    """Go on from a step of the selected film with twice as many steps."""
    sampling = stage.take.sampling
    if sampling.spacing == "own":  # those levels are the steps: another one half way between every two
        middles = [(a + b) / 2 for a, b in pairwise(sampling.levels)]
        levels = tuple(sorted([*sampling.levels, *middles])[:MOST_STEPS])
        more = replace(sampling, levels=levels, steps=len(levels))
    else:
        more = replace(sampling, steps=min(2 * sampling.steps, MOST_STEPS))
    return _add(stage, step, more, stage.take.seed, f"Twice the steps from {step}")


def _add(stage: Stage, step: int, sampling: Sampling, seed: int, name: str) -> bool:
    state, take = stage.state, stage.take
    if len(state.takes) >= MOST_TAKES:
        return False
    beginning = Beginning(source=take.beginning.source, mask=take.beginning.mask, resample=take.beginning.resample)
    owner = owner_at(stage, step)
    new = Take(stage.free_key(), sampling, seed, dict(take.condition), beginning, owner.key, step)
    stage.set(name, takes=(*state.takes, new), selected=new.key, own=True)
    return True


def owner_at(stage: Stage, step: int) -> Take:
    """The film whose own a step of the selected film is: its parent's before it branched."""
    take = stage.take
    while take.parent and step <= take.at:
        take = stage.state.take(take.parent)
    return take


def throw(stage: Stage, key: str) -> None:
    """Take a branch away with all that branch from it; the first film stays."""
    if key == ROOT:
        return
    state = stage.state
    gone = {key, *(take.key for take in state.children(key))}
    _keep(stage, {take.key for take in state.takes} - gone, "Throw a branch away", state.take(key).parent)


def keep_only(stage: Stage, key: str) -> None:
    """Take every other branch away; the films it comes from stay."""
    kept, take = {key}, stage.state.take(key)
    while take.parent:
        take = stage.state.take(take.parent)
        kept.add(take.key)
    _keep(stage, kept, "Keep only this branch", key)


def _keep(stage: Stage, kept: set[str], name: str, selected: str) -> None:
    state = stage.state
    selected = state.selected if state.selected in kept else selected
    takes = tuple(take for take in state.takes if take.key in kept)
    pins = tuple(pin for pin in state.pins if pin.take in kept)
    gone = state.beside.startswith("take:") and state.beside.removeprefix("take:") not in kept
    stage.set(name, takes=takes, selected=selected, pins=pins, beside="" if gone else state.beside)
