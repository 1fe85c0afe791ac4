"""Documents that are made from cards and records say what those say."""

import re
from pathlib import Path

import pytest

from pixelkin.config import read_toml
from pixelkin.errors import DataError
from pixelkin.lab import pages
from pixelkin.lab.detectors import DETECTORS, detector_class
from pixelkin.lab.record import CONDITIONS, SETS, Trained, differences, read_record, write_entry

DOCS = Path(__file__).parents[1] / "docs"
AGAIN = "make them anew: python -m pixelkin.lab.pages"


def test_the_page_of_methods_is_what_the_cards_say():
    assert (DOCS / "methods.md").read_text("utf-8") == pages.methods(), AGAIN


def test_the_page_of_results_holds_what_the_record_says():
    page = (DOCS / "results.md").read_text("utf-8")
    assert page == pages.results(page, read_toml(DOCS / pages.READINGS)), AGAIN


def test_every_system_has_a_row_and_a_reading():
    readings = read_toml(DOCS / pages.READINGS)
    assert set(readings) == set(read_record()) == set(DETECTORS)
    for name, entry in read_record().items():
        assert len(entry.sha256) == 64
        assert readings[name]
        for images in SETS:
            for condition in CONDITIONS:
                value, low, high = entry.figures[images][condition]["auc"]
                assert 0 <= low <= value <= high <= 1


def test_a_row_says_where_random_values_stood_in():
    entry = Trained(
        sha256="0" * 64,
        parameters=5,
        crops=1,
        minutes=1.0,
        images_per_second=2.0,
        validation=0.5,
        control=None,
        random=("resnet50-imagenet",),
        figures={s: {c: {"auc": [0.5, 0.4, 0.6]} for c in CONDITIONS} for s in SETS},
        changed={"lr": [1e-4, 2e-4]},
    )
    page = pages.results(f"{pages.BEGIN}{pages.END}", {}, {"lgrad": entry})
    assert re.search(r"\| LGrad \* \| 5 \| `00000000` \|.*50\.0 \(40\.0-60\.0\)", page)
    assert "resnet50-imagenet: **not comparable**" in page
    assert "lr `0.0001` → `0.0002`" in page
    assert page.count("not trained here") == len(DETECTORS) - 1


def test_a_page_without_the_marks_is_refused():
    with pytest.raises(DataError, match="no part between"):
        pages.results("# Results", {}, {})


def test_an_entry_replaces_its_system_s_and_leaves_the_others(tmp_path):
    file = tmp_path / "trained.json"
    entry = Trained(
        sha256="a", parameters=1, crops=1, minutes=1.0, images_per_second=1.0, validation=0.5, control=0.9
    )
    for name in ("npr", "frank", "npr"):
        write_entry(name, entry, file)
    assert read_record(file) == {"frank": entry, "npr": entry}


def test_recipes_differ_where_a_setting_does_however_deep():
    first = {"lr": 1, "options": {"size": 299, "mode": "both"}, "seed": 1}
    second = {"lr": 1, "options": {"size": 128, "mode": "both"}, "tile": 2}
    assert differences(first, second) == {"options.size": [299, 128], "seed": [1, None], "tile": [None, 2]}


@pytest.mark.parametrize("name", DETECTORS)
def test_a_system_s_name_is_told_as_its_card_labels_it(name):
    card = detector_class(name).card
    assert f"## {card.label}\n`{name}` · {card.title}" in pages.methods()
