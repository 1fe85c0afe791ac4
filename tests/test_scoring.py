import shutil

import numpy as np
import pytest
from PIL import Image
from tiny import EXAMPLES

from pixelkin.data import find_samples
from pixelkin.degrade import parse
from pixelkin.errors import ConfigError
from pixelkin.images import read
from pixelkin.scoring import score
from pixelkin.tiles import sigmoid
from pixelkin.types import Sample


class Plain:
    """A scorer with a known answer, the value of one picture."""

    def log_odds(self, pictures):
        return [self.value(picture) for picture in pictures]

    def score(self, pictures):
        return sigmoid(self.log_odds(pictures)).tolist()


class Brightness(Plain):
    """The mean of the picture over 255."""

    def value(self, picture):
        return float(np.mean(picture.pixels)) / 255


@pytest.fixture
def tree(tmp_path):
    for folder in ("0_real", "1_fake"):
        (tmp_path / folder).mkdir()
        for place, file in enumerate(sorted(EXAMPLES.glob("photo-*"))):
            shutil.copy(file, tmp_path / folder / f"{place}{file.suffix}")
    (tmp_path / "0_real" / "1b.png").write_bytes(b"\x89PNG")
    return tmp_path


@pytest.mark.parametrize("how", [{"batch": 1}, {"batch": 3}, {"batch": 100}, {"workers": 2, "batch": 4}])
def test_scores_come_in_order_whatever_the_batch_and_the_workers(tree, how):
    samples, seen = find_samples(tree), []
    scored = list(score(Brightness(), tree, samples, on_image=lambda: seen.append(1), **how))
    assert [each.sample for each in scored] == samples
    assert len(seen) == len(samples) == 9
    errors = [each for each in scored if each.score is None]
    assert [each.sample.path for each in errors] == ["0_real/1b.png"]
    assert "1b.png" in errors[0].error
    assert [each.score for each in scored if each.score is not None] == [
        Brightness().score([picture])[0] for picture in whole(tree, samples)
    ]


def whole(tree, samples):
    return [read(tree / sample.path) for sample in samples if sample.path != "0_real/1b.png"]


@pytest.mark.parametrize("batch", [1, 16])
def test_a_folder_of_unreadable_files_gives_their_errors_alone(tmp_path, batch):
    (tmp_path / "0_real").mkdir()
    for name, content in (("a.png", b""), ("b.png", b"hello")):
        (tmp_path / "0_real" / name).write_bytes(content)
    samples = [*find_samples(tmp_path), Sample("0_real/gone.png", ".", 0)]
    scored = list(score(Brightness(), tmp_path, samples, batch=batch))
    assert [each.score for each in scored] == [None] * 3
    for each, told in zip(scored, ("0 bytes", "not an image", "No such file"), strict=True):
        assert each.sample.path in each.error
        assert told in each.error


def test_nothing_to_score_gives_nothing(tmp_path):
    assert list(score(Brightness(), tmp_path, [])) == []


def test_scores_come_as_they_are_made(tree):
    seen = []
    scores = score(Brightness(), tree, find_samples(tree), batch=2, on_image=lambda: seen.append(1))
    assert next(scores).score is not None
    assert len(seen) <= 2


def test_a_chain_is_put_on_every_picture(tree):
    samples = find_samples(tree)[:1]
    plain, degraded = (
        next(iter(score(Sides(), tree, samples, chain=parse(c)))).logit for c in ("", "resize:0.5")
    )
    assert degraded == pytest.approx(plain / 4, rel=0.01)


class Sides(Plain):
    """The area in megapixels."""

    def value(self, picture):
        return picture.width * picture.height / 1e6


def test_a_picture_a_degradation_cannot_hold_is_a_row_and_the_others_are_still_scored(tree):
    Image.new("RGB", (16_384, 2)).save(tree / "0_real" / "0wide.png")
    scored = list(score(Brightness(), tree, find_samples(tree), chain=parse("webp:80")))
    wide = next(each for each in scored if each.sample.path == "0_real/0wide.png")
    assert "16384 x 2 pixels cannot be saved as WEBP" in wide.error
    assert sum(each.score is not None for each in scored) == 8


class Broken(Plain):
    """Gives no number for dark pictures."""

    def value(self, picture):
        return float("nan") if picture.pixels.mean() < 100 else 0.0


def test_a_model_that_gives_no_number_gives_an_error_and_no_verdict(tree):
    scored = [each for each in score(Broken(), tree, find_samples(tree)) if "1b.png" not in each.sample.path]
    lost = [each for each in scored if each.score is None]
    assert 0 < len(lost) < len(scored)
    assert all("the model gave nan, no number" in each.error for each in lost)


@pytest.mark.parametrize("how", [{"batch": 0}, {"workers": -1}])
def test_impossible_batches_and_workers_are_refused(tree, how):
    with pytest.raises(ConfigError, match=r"not (0|-1)"):
        list(score(Brightness(), tree, find_samples(tree), **how))
