"""Pairs of photographs and what generators make of them: aligned, recorded, made once."""

import csv
import hashlib
import os
from collections import Counter

import numpy as np
import pytest
from PIL import Image
from tiny import EXAMPLES

from pixelkin import degrade
from pixelkin.data import find_samples
from pixelkin.errors import ConfigError
from pixelkin.images import read
from pixelkin.lab.pairs import MANIFEST, Mixing, blended, half_replaced, main, make_pairs, resampled
from pixelkin.lab.upsampling import Generator

ZOO = """
import numpy as np

class Static:
    def sample(self, n, seed):
        return np.random.default_rng(seed).integers(0, 256, (n, 64, 64, 3), np.uint8)

def doubling():
    return lambda pixels: pixels.repeat(2, 0).repeat(2, 1)

ZOO = {
    "negative": dict(kind="i2i", scale=1, make=lambda: lambda pixels: 255 - pixels),
    "doubled": dict(kind="sr", scale=2, make=doubling),
    "static": dict(kind="noise", scale=0, make=Static),
}

def fake(name, network, pixels):
    return network(pixels[::2, ::2] if ZOO[name]["kind"] == "sr" else pixels)
"""
NAMES = ("negative", "doubled", "static")
SIZES = {"tall.png": (130, 90), "deep/wide.png": (72, 110), "least.png": (64, 64), "small.png": (63, 200)}


REAL, GENERATED = (np.random.default_rng(n).integers(0, 256, (64, 64, 3), np.uint8) for n in (1, 2))


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Three photographs that are large enough, one that is not, and one that is none."""
    folder, picture = tmp_path_factory.mktemp("photographs"), read(EXAMPLES / "photo-coffee.png").pixels
    (folder / "deep").mkdir()
    for place, (name, (height, width)) in enumerate(SIZES.items()):
        Image.fromarray(picture[50 * place :, 60:][:height, :width]).save(folder / name)
    (folder / "torn.png").write_bytes(b"torn")
    return folder


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("zoo")
    (folder / "zoo.py").write_text(ZOO)
    return folder


def run(photographs, out, zoo, *options):
    assert main([str(photographs), f"--out={out}", f"--zoo={zoo}", "--side=80", *options]) == 0
    return out


@pytest.fixture(scope="module")
def made(photographs, zoo, tmp_path_factory):
    return run(photographs, tmp_path_factory.mktemp("pairs"), zoo)


def listed(out):
    """The rows of the manifest."""
    with (out / MANIFEST).open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def files(out):
    """What every file holds and when it was written."""
    every = [file for file in out.rglob("*") if file.is_file()]
    return {str(file.relative_to(out)): (file.read_bytes(), file.stat().st_mtime_ns) for file in every}


def contents(files):
    return {name: data for name, (data, _) in files.items()}


def of_row(out, row):
    """The photograph's twin and the generated one."""
    generated = out / row["generated"]
    return read(generated.parents[1] / "0_real" / generated.name).pixels, read(generated).pixels


def cut(photographs, row):
    """The photograph's pixels at the manifest's box."""
    top, left, side = (int(row[name]) for name in ("top", "left", "side"))
    return read(photographs / row["photograph"]).pixels[top : top + side, left : left + side]


def test_every_generator_is_shown_every_photograph_that_is_large_enough(made):
    large = {name for name, size in SIZES.items() if min(size) >= 64}
    rows = listed(made)
    assert Counter((row["generator"], row["photograph"]) for row in rows) == Counter(
        (generator, photograph) for generator in NAMES for photograph in large
    )
    assert {row["photograph"]: int(row["side"]) for row in rows} == {
        "tall.png": 80,
        "deep/wide.png": 72,
        "least.png": 64,
    }


def test_a_pair_shows_the_same_square_of_a_photograph(made, photographs):
    for row in listed(made):
        real, generated = of_row(made, row)
        square = cut(photographs, row)
        assert real.shape == generated.shape
        if row["generator"] == "static":  # what is made out of noise has its own size, and its twin takes it
            assert (real == degrade.resize_to(square, 64, 64, "lanczos")).all()
        else:
            assert (real == square).all()
        if row["generator"] == "negative":
            assert (generated == 255 - square).all()
        if row["generator"] == "doubled":
            assert (generated == square[::2, ::2].repeat(2, 0).repeat(2, 1)).all()


def test_every_generated_image_is_listed_with_its_digest(made):
    rows = listed(made)
    assert {row["generated"] for row in rows} == {
        file.relative_to(made).as_posix() for file in made.rglob("1_fake/*.png")
    }
    for row in rows:
        assert row["sha256"] == hashlib.sha256((made / row["generated"]).read_bytes()).hexdigest()


def test_twins_and_resampled_twins_are_real(made):
    counts = Counter((sample.source, sample.label) for sample in find_samples(made))
    assert counts == {(name, label): 3 for name in NAMES for label in (0, 1)} | {("resampled", 0): 9}


def test_a_resampled_twin_is_its_photograph_s_square_made_softer(made):
    for row in listed(made):
        twin, _ = of_row(made, row)
        name = f"{row['generator']}-{row['generated'].rsplit('/', 1)[1]}"
        softer = read(made / "resampled/0_real" / name).pixels
        assert softer.shape == twin.shape
        assert (softer != twin).any()
        texture = [np.abs(np.diff(picture.astype(int), axis=1)).mean() for picture in (softer, twin)]
        assert texture[0] < texture[1]
        assert np.abs(softer.mean((0, 1)) - twin.mean((0, 1))).max() < 2


def test_resampling_keeps_size_and_the_colour_of_a_plain_picture():
    plain = np.full((64, 96, 3), (20, 130, 250), np.uint8)
    for seed in range(8):
        assert (resampled(plain, np.random.default_rng(seed)) == plain).all()


def test_what_is_there_is_not_made_again(made, photographs, zoo, tmp_path):
    before = files(run(photographs, tmp_path / "out", zoo))
    assert contents(before) == contents(files(made))
    lost = next(name for name in before if name.startswith("static/1_fake"))
    (tmp_path / "out" / lost).unlink()
    (tmp_path / "zoo.py").write_text(ZOO.replace("return network(", "raise AssertionError("))
    after = files(run(photographs, tmp_path / "out", tmp_path))
    assert contents(after) == contents(before)
    name = lost.rsplit("/", 1)[1]
    again = {name for name in after if after[name] != before[name]}
    assert again == {MANIFEST, lost, f"static/0_real/{name}", f"resampled/0_real/static-{name}"}


def test_another_seed_cuts_elsewhere_and_draws_other_noise(made, photographs, zoo, tmp_path):
    rows = listed(made), listed(run(photographs, tmp_path / "out", zoo, "--seed=2"))
    boxes = [{(row["photograph"], row["top"], row["left"]) for row in some} for some in rows]
    assert boxes[0] != boxes[1]
    noise = [{row["sha256"] for row in some if row["generator"] == "static"} for some in rows]
    assert len(noise[0] | noise[1]) == 6


def test_a_second_generator_s_run_keeps_the_first_one_s_rows(photographs, zoo, tmp_path):
    first = listed(run(photographs, tmp_path, zoo, "--generator=negative"))
    assert {row["generator"] for row in first} == {"negative"}
    both = listed(run(photographs, tmp_path, zoo, "--generator=static"))
    assert both[:3] == first
    assert [row["generator"] for row in both[3:]] == ["static"] * 3
    fewer = listed(run(photographs, tmp_path, zoo, "--generator=negative", "--each=5", "--seed=3"))
    assert fewer[:3] == both[3:]
    assert not {row["generated"] for row in fewer[3:]} & {row["generated"] for row in first}


def negative(pixels, seed):
    return 255 - pixels


def test_rows_of_oddly_named_photographs_and_generators_stay_whole(tmp_path):
    names = ['"quoted.png', 'a "b".png', "tab\there.png", "line\nend.png", os.fsdecode(b"\xff.png")]
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    for name in names:
        Image.fromarray(REAL).save(photographs / name)
    generators = ("generator", "another")
    for name in generators:
        make_pairs(photographs, tmp_path / "out", [Generator(name, negative)], each=9, side=64, seed=1)
    assert Counter((row["generator"], row["photograph"]) for row in listed(tmp_path / "out")) == Counter(
        (generator, name) for generator in generators for name in names
    )


def refused(capsys, *arguments):
    """The one line with which the command line stops."""
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    assert stopped.value.code == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    return told


def test_what_cannot_be_done_is_said_in_one_sentence(photographs, zoo, tmp_path, capsys):
    start = (photographs, "--out", tmp_path)
    told = refused(capsys, *start, "--zoo", zoo, "--generator", "gan")
    assert "has no generator gan; it has: negative, doubled, static" in told
    told = refused(capsys, *start, "--zoo", tmp_path)
    assert f"{tmp_path / 'zoo.py'} is not there: a zoo is a folder with a zoo.py" in told
    told = refused(capsys, *start, "--simulated", "--generator", "simulated-cubic-0")
    assert "there is no simulated-cubic-0; the names are: simulated-nearest-0" in told
    told = refused(capsys, tmp_path, "--out", tmp_path, "--simulated")
    assert "has no image in it" in told
    told = refused(capsys, *start, "--zoo", zoo, "--blend", "1.5")
    assert "blend is a probability, 0 to 1, not 1.5" in told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["blend", "half", "reencode"])
@pytest.mark.parametrize("value", [-0.1, 1.01, float("nan")])
def test_a_probability_out_of_range_is_refused(name, value):
    with pytest.raises(ConfigError, match=f"{name} is a probability, 0 to 1, not {value}"):
        Mixing(**{name: value})


def mixed(seed, real=REAL, generated=GENERATED, **probabilities):
    return Mixing(**probabilities).applied(real, generated, np.random.default_rng(seed))


def test_twins_are_left_alone_unless_something_is_asked_for():
    for seed in range(5):
        assert mixed(seed)[0] is REAL
        assert mixed(seed)[1] is GENERATED


def test_a_blend_is_the_weighted_mean_of_its_twins():
    for strength in (0.5, 0.8, 1.0):
        found = blended(REAL, GENERATED, strength)
        for place in ((0, 0, 0), (3, 60, 2), (33, 7, 1)):
            expected = (1 - strength) * int(REAL[place]) + strength * int(GENERATED[place])
            assert abs(int(found[place]) - expected) <= 0.5 + 1e-4
    assert (blended(REAL, GENERATED, 1.0) == GENERATED).all()


def test_half_to_all_of_a_blend_is_generated():
    black, white = np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 255, np.uint8)
    twins = [mixed(seed, black, white, blend=1) for seed in range(200)]
    assert all(real is black for real, _ in twins)
    shares = [generated.mean() / 255 for _, generated in twins]
    assert 0.498 <= min(shares) < 0.52
    assert 0.98 < max(shares) <= 1


def test_one_half_of_a_photograph_is_replaced_and_every_half_has_its_turn():
    halves = Counter()
    for seed in range(200):
        found = half_replaced(REAL, GENERATED, np.random.default_rng(seed))
        changed = (found != REAL).any(-1)
        (top, left), (bottom, right) = (np.argwhere(changed).min(0), np.argwhere(changed).max(0) + 1)
        assert (found[top:bottom, left:right] == GENERATED[top:bottom, left:right]).all()
        halves[int(top), int(left), int(bottom), int(right)] += 1
    assert set(halves) == {(0, 0, 32, 64), (32, 0, 64, 64), (0, 0, 64, 32), (0, 32, 64, 64)}
    assert min(halves.values()) > 30


def test_both_twins_pass_through_a_file_of_the_same_settings(monkeypatch):
    asked, plain = [], degrade.jpeg

    def noted(pixels, quality, subsampling):
        asked.append((quality, subsampling))
        return plain(pixels, quality, subsampling)

    monkeypatch.setattr(degrade, "jpeg", noted)
    for seed in range(60):
        real, generated = mixed(seed, reencode=1)
        assert asked[-1] == asked[-2]
        assert (real == plain(REAL, *asked[-1])).all()
        assert (generated == plain(GENERATED, *asked[-1])).all()
    assert 60 <= min(asked)[0] < 63
    assert 92 < max(asked)[0] <= 95
    assert {subsampling for _, subsampling in asked} == {0, 2}


def test_each_mixture_comes_as_often_as_its_probability_says():
    real, generated = REAL[:8, :8], GENERATED[:8, :8]
    for name in ("blend", "half", "reencode"):
        times = sum(mixed(seed, real, generated, **{name: 0.3})[1] is not generated for seed in range(600))
        assert times / 600 == pytest.approx(0.3, abs=0.06)


def test_pairs_are_mixed_on_their_way_to_the_disk(photographs, zoo, tmp_path):
    run(photographs, tmp_path, zoo, "--generator=negative", "--half=1")
    for row in listed(tmp_path):
        real, generated = of_row(tmp_path, row)
        assert (real == cut(photographs, row)).all()
        assert (generated != real).any(-1).mean() == pytest.approx(0.5, abs=0.01)
