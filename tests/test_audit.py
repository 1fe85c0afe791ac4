"""The audit flags what the files give away, and keeps quiet where they give nothing away."""

import numpy as np
import pytest
import trees
from sklearn.metrics import roc_auc_score
from test_scoring import Brightness
from tiny import EXAMPLES

from pixelkin import degrade, tables
from pixelkin.audit import SUSPICIOUS, alignment, audit, blocking, look
from pixelkin.data import find_samples
from pixelkin.evaluate import About, evaluate
from pixelkin.images import inspect, read
from pixelkin.measure import Measuring, Subject, gather, measure
from pixelkin.types import Sample, Scored

ABOUT = About(model="m", model_sha256="", dataset="d", dataset_sha256="")
COUNT = 48


def squares(kind):
    return trees.pieces(kind, COUNT)


def plant(root, real, generated, source="s"):
    """Real and generated pieces, each saved as bytes by its own function."""
    for folder, kind, save in (("0_real", "photo", real), ("1_fake", "generated", generated)):
        (root / source / folder).mkdir(parents=True)
        for place, pixels in enumerate(squares(kind)):
            (root / source / folder / f"{place:03}").with_suffix(".img").write_bytes(save(pixels))
    for file in root.rglob("*.img"):
        file.rename(file.with_suffix("." + inspect(file.read_bytes()).format.lower()))
    return root


def jpeg(quality, **options):
    return lambda pixels: trees.encoded(pixels, "JPEG", quality=quality, **options)


def jpeg_history(quality):
    return lambda pixels: trees.encoded(degrade.jpeg(pixels, quality))


def audited(root):
    samples = find_samples(root)
    blind = evaluate([Scored(sample, 0.5) for sample in samples], ABOUT, resamples=2)
    return audit(ABOUT, samples, look(root, samples), ("none", blind))


def flags(found):
    return {each.by: each.clue for each in found.suspicions}


def test_a_quality_of_75_against_99_is_flagged_by_both_classifiers(tmp_path):
    found = audited(plant(tmp_path, jpeg(75), jpeg(99)))
    assert set(flags(found)) == {"zero-pixel", "compression-only"}
    assert flags(found)["zero-pixel"] == "quality"
    assert all(each.auc > 0.99 and each.clue_auc == 1 for each in found.suspicions)


def test_one_codec_and_one_size_for_both_labels_is_not_flagged(tmp_path):
    found = audited(plant(tmp_path, jpeg(90), jpeg(90)))
    assert [each.by for each in found.suspicions if each.by == "zero-pixel"] == []
    assert found.zero_pixel.rows[0].figures["auc"].low < SUSPICIOUS


def test_labels_drawn_by_lot_are_not_flagged(tmp_path):
    """Photographs on both sides: nothing to be found by anybody."""
    lot = np.random.default_rng(3).permutation(2 * COUNT) % 2
    for place, pixels in enumerate(trees.pieces("photo", 2 * COUNT)):
        file = tmp_path / ("0_real", "1_fake")[lot[place]] / f"{place:03}.jpg"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(trees.encoded(pixels, "JPEG", quality=85))
    assert audited(tmp_path).suspicions == ()


def test_a_jpeg_s_blocks_are_seen_in_a_lossless_file(tmp_path):
    found = audited(plant(tmp_path, jpeg_history(40), trees.encoded))
    by_kind = {each.by: each for each in found.suspicions}
    assert by_kind["compression-only"].clue in {"blocking", "blocking at its corner", "bits per pixel"}


@pytest.mark.parametrize(
    ("generated", "clue"),
    [
        (jpeg(90, progressive=True), "progressive"),
        (jpeg(90, exif=b"Exif\0\0" + b"\0" * 20), "exif"),
        (jpeg(90, icc_profile=b"\0" * 128), "profile"),
        (trees.encoded, "quality"),
        (lambda pixels: trees.encoded(pixels[:60], "JPEG", quality=90), "short side"),
    ],
)
def test_what_the_files_differ_in_is_named(tmp_path, generated, clue):
    found = audited(plant(tmp_path, jpeg(90), generated))
    assert flags(found)["zero-pixel"] == clue


def test_sources_of_one_label_are_one_question(tmp_path):
    plant(tmp_path, jpeg(75), jpeg(99))
    (tmp_path / "s" / "0_real").rename(tmp_path / "0_real")
    found = audited(tmp_path)
    assert {each.sources for each in found.suspicions} == {(".", "s")}
    assert [row.joined for row in found.zero_pixel.rows] == ["generated", "real"]


def test_too_few_images_are_said_to_be_too_few(tmp_path):
    trees.pair(tmp_path / "few", 3)
    plant(tmp_path, jpeg(75), jpeg(99))
    found = audited(tmp_path)
    assert found.unfit == ("few",)
    assert {each.sources for each in found.suspicions} == {("s",)}


def test_no_image_is_judged_by_a_forest_fitted_on_it(tmp_path):
    """Random features and labels: in-sample a forest is near perfect, out of fold it is at chance."""
    from pixelkin.audit import out_of_fold

    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(300, 10)), rng.integers(0, 2, 300)
    assert (
        abs(roc_auc_score(labels, out_of_fold(features, labels, list(map(str, range(300))), 0)) - 0.5) < 0.1
    )


def test_copies_of_a_file_are_never_on_both_sides_of_a_fold(tmp_path):
    """Labels drawn by lot, every file four times: what was seen must not help."""
    lot = np.random.default_rng(3).permutation(2 * COUNT) % 2
    for place, pixels in enumerate(trees.pieces("photo", 2 * COUNT)):
        for copy in range(4):
            file = tmp_path / ("0_real", "1_fake")[lot[place]] / f"{place:03}{copy}.jpg"
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(trees.encoded(pixels, "JPEG", quality=85))
    assert audited(tmp_path).suspicions == ()


def test_a_set_too_small_to_audit_is_still_reported(tmp_path):
    trees.pair(tmp_path / "set", 3)
    subject = Subject(Brightness(), "brightness", "0" * 64, "whole")
    results = measure(Measuring(subject=subject, images=gather(tmp_path / "set"), resamples=5), audit=True)
    text = tables.markdown.write(tables.page_of(results))
    assert "| . | - | too few images | - | too few images | - |" in text
    assert "Nothing could be audited" in text
    assert "Nothing found" not in text
    assert results.report.rows[0].real == 3


def test_blocking_is_largest_at_the_blocks_borders():
    photo = read(EXAMPLES / "photo-coffee.png").pixels
    coded = degrade.jpeg(photo, 40)
    clean, blocked, shifted = (blocking(p) for p in (photo, coded, coded[3:, 5:]))
    assert clean[0] < 1.2 < blocked[0]
    assert blocked[1] == pytest.approx(blocked[0])
    assert shifted[0] == pytest.approx(blocked[0], rel=0.2)
    assert shifted[1] < 1.1
    assert blocking(photo[:5, :5]) == (1.0, 1.0)


def test_aligned_pictures_have_one_size_none_of_them_enlarged(tmp_path):
    trees.pair(tmp_path, 2)
    (tmp_path / "0_real" / "big.png").write_bytes(trees.encoded(read(EXAMPLES / "photo-coffee.png").pixels))
    samples = find_samples(tmp_path)
    chain = alignment(look(tmp_path, samples))
    assert chain == "square:64,jpeg:90"
    sizes = {
        degrade.apply(degrade.parse(chain), read(tmp_path / sample.path).pixels).shape for sample in samples
    }
    assert sizes == {(64, 64, 3)}
    assert alignment([None]) == "square:256,jpeg:90"
    assert alignment([seen for seen in look(tmp_path, samples) if seen][:1] * 30) == "square:64,jpeg:90"


def test_an_unreadable_file_is_no_clue(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"bad")
    assert look(tmp_path, [Sample("bad.png", "s", 0), Sample("gone.png", "s", 0)]) == [None, None]


@pytest.mark.parametrize("quality", [1, 10, 30, 50, 75, 85, 90, 95, 99])
def test_the_quality_of_a_jpeg_is_read_off_its_tables(quality):
    facts = inspect(trees.encoded(squares("photo")[0], "JPEG", quality=quality, subsampling=1))
    assert (facts.format, facts.quality, facts.subsampling) == ("JPEG", quality, 1)
    assert (facts.width, facts.height) == (64, 64)


def test_the_report_puts_the_audit_beside_its_headline(tmp_path):
    root = plant(tmp_path / "set", jpeg(75), jpeg(99))
    subject = Subject(Brightness(), "brightness", "0" * 64, "whole")
    results = measure(Measuring(subject=subject, images=gather(root), resamples=50), audit=True)
    text = tables.markdown.write(tables.page_of(results))
    head = next(line for line in text.splitlines() if line.startswith("| AUC"))
    assert head.count("(") == 4
    assert "| mean over the sources | brightness | zero-pixel | compression-only | aligned |" in text
    assert "| s | flagged | 100.0 (100.0-100.0) | quality (100.0) |" in text
    assert results.audit.chain == "square:64,jpeg:90"
    quiet = tables.markdown.write(tables.page_of(measure(Measuring(subject=subject, images=gather(root)))))
    assert "`--audit` tells" in quiet
