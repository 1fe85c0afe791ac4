"""Squares kept decoded, a teacher's word on them, and a curriculum: what a run on a bank is shown."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from test_train import assert_same_weights, recipe
from tiny import plant

from pixelkin.data import find_samples
from pixelkin.errors import ConfigError, DataError, ImageError
from pixelkin.images import read
from pixelkin.lab.bank import Bank, make_bank
from pixelkin.lab.batches import TEACHER_TEMPERATURE, Crops, strength
from pixelkin.lab.detectors import detector_class
from pixelkin.lab.external import Store
from pixelkin.lab.recipe import Degradations, TrainConfig
from pixelkin.lab.runs import LAST
from pixelkin.lab.train import train
from pixelkin.lab.weights import load_tensors

SIDE = 40
# The picture's columns and rows are its red and green, so that a piece says where it was cut.
SIZES = {
    "0_real/large.png": (200, 150),
    "0_real/low.png": (30, 120),
    "0_real/small.png": (17, 23),
    "0_real/torn.png": None,
    "1_fake/exact.png": (40, 40),
    "1_fake/tall.png": (90, 50),
}
NPR = detector_class("npr")()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Pictures of several sizes, one of them damaged."""
    folder = tmp_path_factory.mktemp("pictures")
    for name, size in SIZES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        if size is None:
            (folder / name).write_bytes(b"\x89PNG")
        else:
            Image.fromarray(picture(*size)).save(folder / name)
    return folder


def picture(height, width):
    places = np.broadcast_arrays(np.arange(width)[None], np.arange(height)[:, None], height % 256)
    return np.stack(places, -1).astype(np.uint8)


@pytest.fixture(scope="module")
def samples(root):
    return find_samples(root)


def made(folder, root, samples, **values):
    return make_bank(folder, root, samples, **{"side": SIDE, "most": 5, "seed": 1, "workers": 0} | values)


@pytest.fixture(scope="module")
def bank(root, samples, tmp_path_factory):
    return made(tmp_path_factory.mktemp("bank"), root, samples)


def squares_of(bank, place):
    return [bank[square] for square in range(*bank.contents.first[place : place + 2])]


def test_squares_are_pieces_of_their_pictures_where_chance_has_cut_them(bank, root, samples):
    assert [sample.path for sample in samples] == sorted(SIZES)
    for place, sample in enumerate(samples):
        for square in squares_of(bank, place):
            pixels = read(root / sample.path).pixels
            left, top, _ = (int(where) for where in square[0, 0])
            assert (square == pixels[top : top + SIDE, left : left + SIDE]).all()
    corners = {tuple(square[0, 0]) for square in squares_of(bank, 0)}
    assert len(corners) == 5


def test_a_picture_gives_as_many_squares_as_it_has_room_for_and_a_small_one_all_of_itself(bank, samples):
    shapes = {s.path: [square.shape[:2] for square in squares_of(bank, p)] for p, s in enumerate(samples)}
    assert shapes == {
        "0_real/large.png": [(40, 40)] * 5,
        "0_real/low.png": [(30, 40)] * 2,
        "0_real/small.png": [(17, 23)],
        "0_real/torn.png": [],
        "1_fake/exact.png": [(40, 40)],
        "1_fake/tall.png": [(40, 40)] * 2,
    }
    assert len(bank) == 11
    assert (squares_of(bank, 2)[0] == picture(17, 23)).all()
    assert (squares_of(bank, 4)[0] == picture(40, 40)).all()


def test_every_square_of_a_picture_has_its_turn(bank):
    rng = np.random.default_rng(1)
    shown = Counter(bank.square(0, rng).pixels.tobytes() for _ in range(500))
    assert set(shown) == {square.tobytes() for square in squares_of(bank, 0)}
    assert min(shown.values()) > 60


def test_what_could_not_be_read_has_no_square(bank):
    with pytest.raises(ImageError, match="could not be read when the bank was made"):
        bank.square(3, np.random.default_rng(1))


def test_workers_and_time_of_making_change_nothing(bank, root, samples, tmp_path):
    other = made(tmp_path / "bank", root, samples, workers=1)
    assert other.contents == bank.contents
    assert all((other[place] == bank[place]).all() for place in range(len(bank)))
    elsewhere = made(tmp_path / "other", root, samples, seed=2)
    assert replace(elsewhere.contents, seed=bank.contents.seed) == bank.contents
    assert any((elsewhere[place] != bank[place]).any() for place in range(len(bank)))


def test_a_bank_is_made_once(root, samples, tmp_path):
    first = made(tmp_path, root, samples)
    times = {file.name: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    second = made(tmp_path, tmp_path / "gone", samples)
    assert {file.name: file.stat().st_mtime_ns for file in tmp_path.iterdir()} == times
    assert sorted(times) == ["bank.json", "bank.u8"]
    assert second.contents == first.contents
    assert (tmp_path / "bank.u8").stat().st_size == len(first) * SIDE * SIDE * 3


def test_a_bank_whose_making_was_interrupted_is_made_anew(bank, root, samples, tmp_path):
    (tmp_path / "bank.u8").write_bytes(b"half a square")
    again = made(tmp_path, root, samples)
    assert all((again[place] == bank[place]).all() for place in range(len(bank)))


def test_a_bank_of_other_samples_or_squares_is_refused(root, samples, tmp_path):
    made(tmp_path, root, samples)
    for others in (samples[1:], samples[::-1]):
        with pytest.raises(DataError, match=r"was made of other images: delete the folder to make it anew"):
            made(tmp_path, root, others)
    for name, was, other in (("side", 40, 64), ("most", 5, 3), ("seed", 1, 5)):
        with pytest.raises(DataError, match=f"was made with {name} {was}, not {other}: delete it"):
            made(tmp_path, root, samples, **{name: other})
    with pytest.raises(DataError, match="holds no bank of squares"):
        Bank(tmp_path / "nowhere", samples)


def test_a_teacher_is_asked_once_about_each_square(root, samples, tmp_path):
    bank, asked = made(tmp_path, root, samples), []
    assert bank.square(0, np.random.default_rng(1)).taught is None

    def teacher(pixels):
        asked.append(pixels.shape)
        return float(pixels[0, 0, 0]) - 50

    bank.teach("expert", teacher)
    assert asked == [bank[place].shape for place in range(len(bank))]
    for again in (bank, made(tmp_path, root, samples)):
        again.teach("expert", teacher)
        rng = np.random.default_rng(1)
        for square in (again.square(place, rng) for place in (0, 1, 2, 4, 5) for _ in range(4)):
            assert square.taught == float(square.pixels[0, 0, 0]) - 50
    assert len(asked) == len(bank)
    bank.teach("other", len)
    assert bank.square(1, np.random.default_rng(1)).taught == 30


def config(**values):
    return TrainConfig(**{"data": "-", "out": "-", "policy": "native", "crop": 24, "flip": 0} | values)


def crops(root, samples, bank, plan=(), epoch=0, **values):
    return Crops(root, samples, plan or range(len(samples)), NPR, config(**values), epoch, bank)


def test_crops_are_cut_from_the_bank_and_not_from_the_files(bank, samples, tmp_path):
    for epoch in range(4):
        tensor, label = crops(tmp_path / "gone", samples, bank, [5], epoch, crop=16)[0]
        mean, deviation = (torch.tensor(v).view(3, 1, 1) for v in NPR.statistics)
        crop = (255 * (tensor * deviation + mean)).round().byte().permute(1, 2, 0).numpy()
        left, top, _ = (int(where) for where in crop[0, 0])
        assert (crop == picture(90, 50)[top : top + 16, left : left + 16]).all()
        assert label == 1


def test_an_unreadable_sample_gives_its_place_to_another_of_its_label(bank, root, samples, caplog):
    tensor, label = crops(root, samples, bank, [3])[0]
    assert tensor.shape == (3, 24, 24)
    assert label == 0
    assert "training goes on without an image: it could not be read" in caplog.text


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_the_label_moves_towards_the_teacher_s_word_by_its_weight(weight, root, samples, tmp_path):
    logits = {"0_real/low.png": 6.0, "1_fake/tall.png": -2.0}
    known = [sample for sample in samples if sample.path in logits]
    bank = made(tmp_path, root, known)
    bank.teach("expert", lambda pixels: logits["0_real/low.png" if len(pixels) < SIDE else "1_fake/tall.png"])
    for (_, told), sample in zip(crops(root, known, bank, teacher_weight=weight), known, strict=True):
        said = 1 / (1 + np.exp(-logits[sample.path] / TEACHER_TEMPERATURE))
        assert float(told) == pytest.approx((1 - weight) * sample.label + weight * said, abs=1e-6)


def test_without_a_teacher_labels_are_whole(bank, root, samples):
    assert [int(label) for _, label in crops(root, samples, bank)] == [sample.label for sample in samples]


def test_a_curriculum_comes_to_its_full_strength_epoch_by_epoch():
    some = config(harden_epochs=4)
    assert [strength(some, epoch) for epoch in range(6)] == [0, 0.25, 0.5, 0.75, 1, 1]
    assert strength(some, None) == 1
    assert strength(config(), 0) == 1


def test_a_curriculum_begins_with_clean_crops_and_validates_on_degraded_ones(bank, root, samples):
    hard = Degradations(jpeg=1, jpeg_quality=(10, 20))

    def shown(epoch, **values):
        return torch.stack(
            [tensor for tensor, _ in crops(root, samples, bank, [0, 0, 4, 5], epoch, **values)]
        )

    assert torch.equal(shown(0, degradations=hard, harden_epochs=2), shown(0))
    assert torch.equal(shown(2, degradations=hard, harden_epochs=2), shown(2, degradations=hard))
    assert not torch.equal(shown(2, degradations=hard), shown(2))
    assert torch.equal(shown(None, degradations=hard, harden_epochs=2), shown(None, degradations=hard))


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"bank": "b", "policy": "paper"}, "a bank of squares serves the policy 'native', not 'paper'"),
        ({"teacher": "ferretnet-s"}, "a teacher needs a bank"),
        (
            {"bank": "b", "teacher": "ferretnet-s", "teacher_weight": 2},
            "teacher_weight lies in 0 to 1, not at 2",
        ),
        ({"teacher_weight": -0.1}, "teacher_weight lies in 0 to 1"),
        ({"bank_side": 0}, "bank_side is 1 or more, not 0"),
        ({"bank_most": 0}, "bank_most is 1 or more, not 0"),
        ({"harden_epochs": -1}, "harden_epochs is 0 or more, not -1"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(values, told):
    with pytest.raises(ConfigError, match=told):
        config(**values)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return plant(tmp_path_factory.mktemp("data"), 16)


def on_bank(data, tmp_path, out, **values):
    """A run of four steps on a bank, under a teacher and a curriculum."""
    asked = {"epochs": 2, "images_per_epoch": 16, "bank": str(tmp_path / "bank"), "bank_side": SIDE}
    asked |= {"teacher": "ferretnet-s", "teacher_weight": 0.3, "harden_epochs": 1}
    return recipe(data, tmp_path / out, degradations={"jpeg": 0.8, "again": 0.5}, **asked | values)


def test_a_run_on_a_bank_stopped_and_resumed_equals_one_that_was_not(data, tmp_path):
    store = Store(allow_random=True)
    train(on_bank(data, tmp_path, "one"), store)
    kept = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "bank").iterdir()}
    assert sorted(kept) == ["bank.json", "bank.u8", "ferretnet-s.npy"]
    steps = [0]
    while steps[-1] < 4:
        train(on_bank(data, tmp_path, "other"), store, resume=True, minutes=1e-9)
        steps.append(load_tensors(tmp_path / "other" / LAST)[1]["state"]["step"])
    assert len(steps) > 3
    assert_same_weights(tmp_path / "one", tmp_path / "other")
    assert {file.name: file.stat().st_mtime_ns for file in (tmp_path / "bank").iterdir()} == kept
