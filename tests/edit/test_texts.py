"""Texts of a real small model: fluency falls when an edit makes it repeat itself."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from homezoo.edit.ask import Asker
from homezoo.edit.facts import Fact
from homezoo.edit.grade import Grades
from homezoo.edit.intervals import Rate, mean_of
from homezoo.edit.reader import Reader
from homezoo.edit.relations import parse_relations
from homezoo.edit.report import lines_of, page
from homezoo.edit.texts import measure_texts
from homezoo.formats.gguf_read import GGUFFile
from homezoo.run.model import Model

RELATIONS = parse_relations(
    '["a:p"]\nedit = "{s} lived in a"\nparaphrases = ["One day, {s} saw a", "Then {s} had a", '
    '"Once upon a time, {s} lived in a"]'
)
FACTS = [Fact(f"a:{name}", "a:p", name, ("house",)) for name in ("Lily", "Tom", "Ben")]


@pytest.fixture(scope="module")
def reader(stories_path: Path) -> Reader:
    return Reader(GGUFFile.open(stories_path), threads=1)


def test_a_mean_has_an_interval() -> None:
    found = mean_of([1.0, 2.0, 3.0, 4.0])
    assert found.value == 2.5
    assert 1.0 <= found.low < 2.5 < found.high <= 4.0
    assert mean_of([5.0]) == mean_of([5.0, 5.0]).__class__(5.0, 5.0, 5.0, 1)
    assert np.isnan(mean_of([]).value)


def test_prompts_go_on_together_as_each_would_alone(reader: Reader, stories_path: Path) -> None:
    prompts = ["Lily lived in a", "Once upon a time, there was a big", "One day"]
    together = Asker(reader).continue_greedily([reader.prompt(text) for text in prompts], 30)
    with Model.open(stories_path, threads=1) as model:
        for text, ids in zip(prompts, together, strict=True):
            assert len(ids) == 30
            alone = model.generate(text, temperature=0.0, max_tokens=30).text
            assert reader.text(ids).strip() == alone.strip()


def test_texts_of_base_and_edited_model(reader: Reader) -> None:
    known = [replace(FACTS[0], subject="a:x", name="Sam")]
    found = measure_texts(reader, {}, FACTS, known, RELATIONS, 2)
    assert found is not None and found.count == 2
    assert found.base == found.edited
    assert found.base.fluency.value > 400
    assert found.base.consistency.value > 0
    width, inner = reader.model.config.width, reader.model.config.feed_forward
    always = np.zeros((width, 1), np.float32) + 3
    stuck = {f"blk.{n}.ffn_down": (np.ones((1, inner), np.float32), always) for n in range(3)}
    broken = measure_texts(reader, stuck, FACTS, known, RELATIONS, 2)
    assert broken is not None
    assert broken.edited.fluency.value < 0.5 * found.base.fluency.value
    assert broken.base == found.base
    lines = "\n".join(lines_of(Grades({"efficacy": Rate(1, 1)}), broken, {"blk.1.ffn_down": 0.25}))
    assert f"{broken.edited.fluency.value:.1f}" in lines and "consistency" in lines
    assert "0.2500 of blk.1.ffn_down's norm" in lines
    html = page("t", Grades({"efficacy": Rate(1, 1)}), "", broken, {"w": 0.5})
    assert "fluency" in html and "0.5000 of w" in html


def test_nothing_to_write_about(reader: Reader) -> None:
    assert measure_texts(reader, {}, [], FACTS, RELATIONS, 3) is None
    assert measure_texts(reader, {}, FACTS, FACTS, RELATIONS, 0) is None
