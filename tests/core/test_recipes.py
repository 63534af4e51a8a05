"""Recipes inside files: written, found, refused."""

from __future__ import annotations

import ast
import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dgm_studio.core import recipes, requests
from dgm_studio.core.cards import ModelCard
from dgm_studio.core.recipes import Recipe
from dgm_studio.core.requests import DecodeLatent, SamplePrior, Train
from dgm_studio.core.updates import Problem

CARD = ModelCard("zoo:vae-digits", "vae-digits", "vae", "VAE", frozenset(), (), sha256="ab" * 32, step=4096)
SVG = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="9">\n<path d="M0 0"/></svg>'


def recipe() -> Recipe:
    asked = DecodeLatent("zoo:vae-digits", (0.25, -1.5))
    state = {"name": 'a "quoted" <b>&amp;</b> ünïcödé \u2028', "z": [0.25, -1.5]}
    return recipes.recipe_of(asked, CARD, theme="dark", scale=3, panel="latent", state=state)


def drawn(kind: str) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.arange(300, dtype=np.uint8).reshape(10, 30)).save(out, kind)
    return out.getvalue()


@pytest.mark.parametrize(("ending", "data"), [(".png", drawn("PNG")), (".gif", drawn("GIF")), (".svg", SVG)])
def test_a_recipe_comes_back_from_a_file_whole(tmp_path: Path, ending: str, data: bytes) -> None:
    path = tmp_path / f"export{ending}"
    path.write_bytes(recipes.embed(data, ending, recipe()))
    found = recipes.read_recipe(path)
    assert found == recipe()
    assert found is not None and found.asked() == DecodeLatent("zoo:vae-digits", (0.25, -1.5))


def test_pixels_stay_as_they_are_and_the_svg_is_still_xml(tmp_path: Path) -> None:
    import xml.etree.ElementTree as ElementTree

    for kind in ("PNG", "GIF"):
        with_recipe = recipes.embed(drawn(kind), f".{kind.lower()}", recipe())
        before, after = (np.asarray(Image.open(io.BytesIO(d)).convert("L")) for d in (drawn(kind), with_recipe))
        assert np.array_equal(before, after)
    tree = ElementTree.fromstring(recipes.embed(SVG, ".svg", recipe()))
    assert recipes.from_text(tree[0].text or "") == recipe()


def test_a_recipe_longer_than_a_gifs_blocks_is_put_together_again(tmp_path: Path) -> None:
    long = recipes.recipe_of(SamplePrior("m"), None, state={"text": "abc" * 5000})
    path = tmp_path / "long.gif"
    path.write_bytes(recipes.embed(drawn("GIF"), ".gif", long))
    assert recipes.read_recipe(path) == long


def test_a_file_without_a_recipe_has_none_and_a_missing_one_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "plain.png").write_bytes(drawn("PNG"))
    (tmp_path / "empty.png").write_bytes(b"")
    assert recipes.read_recipe(tmp_path / "plain.png") is None
    assert recipes.read_recipe(tmp_path / "empty.png") is None
    with pytest.raises(Problem):
        recipes.read_recipe(tmp_path / "missing.png")
    with pytest.raises(Problem):
        recipes.read_recipe(tmp_path)


HOSTILE = [
    b'{"dgm-studio recipe": ',
    b'{"dgm-studio recipe": 1, "request": "rm -rf"}',
    b'{"dgm-studio recipe": 1, "state": 7}',
    b'{"dgm-studio recipe": 1, "scale": NaN}',
    b'{"dgm-studio recipe": true}',
    b'{"dgm-studio recipe": "1"}',
    b'{"dgm-studio recipe": 1, "request": {"ask": "__import__"}}',
    b'{"dgm-studio recipe": 1, "request": {"ask": "DecodeLatent"}}',
    b'{"dgm-studio recipe": 1, "state": ' + b"[" * 100_000,
    b'{"dgm-studio recipe": 1, "state": {"x": "' + b"y" * (2 * recipes.LONGEST) + b'"}}',
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_recipe_is_refused_in_words(tmp_path: Path, text: bytes) -> None:
    for start in (b"", b"GIF89a\xff"):
        (tmp_path / "bad.png").write_bytes(start + text)
        with pytest.raises(Problem):
            recipes.read_recipe(tmp_path / "bad.png")


def test_a_newer_recipe_is_refused_with_both_versions(tmp_path: Path) -> None:
    (tmp_path / "new.png").write_bytes(b'{"dgm-studio recipe": 99}')
    with pytest.raises(Problem, match=r"version 99.*version 1"):
        recipes.read_recipe(tmp_path / "new.png")


def test_a_recipe_too_long_to_be_read_back_is_not_written() -> None:
    with pytest.raises(Problem, match="too much"):
        recipes.to_text(recipes.recipe_of(None, CARD, state={"x": "y" * recipes.LONGEST}))


texts = st.text(max_size=30)


@given(texts, st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=4), texts)
def test_any_state_survives_and_no_text_can_become_code(key: str, z: list[float], name: str) -> None:
    made = recipes.recipe_of(Train(key, data=name, config={"z": z, name: key}), None, state={name: [key, z]})
    assert recipes.from_text(recipes.to_text(made) + "</metadata>") == made
    (call,) = [n for n in ast.walk(ast.parse(recipes.as_python(made))) if _is_call(n, "Train")]
    values = {k.arg: ast.literal_eval(k.value) for k in call.keywords}  # literals, every one
    assert values["run"] == key and values["config"] == {**{"z": tuple(z)}, name: key}


def _is_call(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


def test_a_script_cannot_be_smuggled_through_versions_or_keys() -> None:
    made = Recipe(
        request={"ask": "DecodeLatent", "model": '"); import os #', "z": [1.0]},
        model='x"\nimport os\n"',
        sha256="'); import os; ('",
        versions={"torch": "2\nimport os", "a\nimport os": "1"},
    )
    tree = ast.parse(recipes.as_python(made))
    assert [alias.name for n in ast.walk(tree) if isinstance(n, ast.Import) for alias in n.names] == ["sys"]


def test_the_text_is_plain_json() -> None:
    text = recipes.to_text(recipe())
    assert text.isascii() and not set("<>&\n") & set(text)
    assert json.loads(text)["versions"]["torch"]


def test_a_script_imports_whatever_its_request_is_made_of() -> None:
    asked = requests.CrossDatum("zoo:x", requests.Given(3, values={"digit": 7}), fusing=requests.Fusing("moe"))
    script = recipes.as_python(recipes.recipe_of(asked, None))
    made: dict[str, object] = {}
    exec(script.replace("from dgm_studio import save", "").partition("path = ")[0], made)
    assert made["asked"] == asked
