import shutil

import numpy as np
import pytest
from PIL import Image
from tiny import EXAMPLES

from pixelkin.data import SUFFIXES, check, digest, find_images, find_samples
from pixelkin.errors import DataError
from pixelkin.types import Sample

PHOTO = EXAMPLES / "photo-flower.jpg"


def put(root, *paths):
    """Copies of a photograph at ``paths``, saved as their extension says."""
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix.lower() in {".jpg", ".jpeg"}:
            shutil.copy(PHOTO, file)
        else:
            Image.open(PHOTO).resize((64, 48)).save(file)
    return root


def found(root):
    return {s.path: (s.source, s.label) for s in find_samples(root)}


@pytest.mark.parametrize(
    ("path", "source", "label"),
    [
        ("0_real/a.png", ".", 0),
        ("1_fake/a.png", ".", 1),
        ("progan/1_fake/a.png", "progan", 1),
        ("progan/car/0_real/a.png", "progan/car", 0),
        ("train/0_real/bsds500/a.png", "train/bsds500", 0),
        ("a/b/c/1_fake/d/e/a.png", "a/b/c/d/e", 1),
        ("Midjourney/val/AI/a.png", "Midjourney/val", 1),
        ("Midjourney/val/Nature/a.png", "Midjourney/val", 0),
        ("biggan/ai/a.png", "biggan", 1),
        ("biggan/NATURE/a.png", "biggan", 0),
        ("REAL/phone/a.png", "phone", 0),
        ("Fake/a.png", ".", 1),
        ("1_fake/nature/a.png", "nature", 1),
        ("real/0_real/x/a.png", "real/x", 0),
    ],
)
def test_the_label_folder_may_stand_at_any_depth(tmp_path, path, source, label):
    assert found(put(tmp_path, path)) == {path: (source, label)}


@pytest.mark.parametrize("path", ["0_Real/1_fake/a.png", "fake/real/a.png", "ai/x/nature/a.png"])
def test_folders_that_say_both_labels_are_refused(tmp_path, path):
    with pytest.raises(DataError, match="say both labels"):
        find_samples(put(tmp_path, path))


def test_linked_folders_are_searched_each_once(tmp_path):
    put(tmp_path / "far", "a.png", "b.png")
    (tmp_path / "set" / "0_real").mkdir(parents=True)
    (tmp_path / "set" / "0_real" / "here").symlink_to(tmp_path / "far")
    (tmp_path / "far" / "back").symlink_to(tmp_path / "set")
    assert list(found(tmp_path / "set")) == ["0_real/here/a.png", "0_real/here/b.png"]


@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
def test_every_usual_extension_is_found_in_any_case(tmp_path, suffix):
    folder = tmp_path / "0_real"
    folder.mkdir()
    for name in (f"a{suffix}", f"b{suffix.upper()}", f"c{suffix.title()}"):
        shutil.copy(PHOTO, folder / name)
    assert len(find_samples(tmp_path)) == 3


def test_stray_and_hidden_files_are_no_images(tmp_path):
    put(tmp_path, "0_real/a.png", "0_real/.hidden.png", ".cache/0_real/b.png")
    for name in ("Thumbs.db", "list.txt", "png", "a.png.part"):
        (tmp_path / "0_real" / name).write_bytes(b"x")
    (tmp_path / "0_real" / "folder.png").mkdir()
    assert list(found(tmp_path)) == ["0_real/a.png"]


def test_the_order_is_that_of_the_paths(tmp_path):
    paths = ["a/0_real/10.png", "a/0_real/9.png", "a/1_fake/2.png", "a-b/0_real/1.png", "b/0_real/1.png"]
    put(tmp_path, *paths[::2], *paths[1::2])
    assert list(found(tmp_path)) == paths
    assert find_samples(tmp_path) == find_samples(tmp_path)


def test_what_has_no_label_is_refused_in_words(tmp_path):
    with pytest.raises(DataError, match="not a folder"):
        find_samples(tmp_path / "gone")
    with pytest.raises(DataError, match="none of its 0 images"):
        find_samples(tmp_path)
    put(tmp_path, "cats/a.png", "dogs/b.png")
    with pytest.raises(DataError, match="none of its 2 images lies in a folder named 0_real or 1_fake"):
        find_samples(tmp_path)
    with pytest.raises(DataError, match=r"b\.png is not a folder"):
        find_samples(tmp_path / "dogs" / "b.png")


def facts(root, **how):
    return check(root, find_samples(root), **how)


def test_a_check_counts_formats_sizes_sources_and_what_is_left_out(tmp_path):
    put(tmp_path, "a/0_real/1.jpg", "a/0_real/2.jpg", "a/0_real/3.png", "b/1_fake/1.png", "stray.png")
    seen = []
    result = facts(tmp_path, on_image=lambda: seen.append(1))
    assert len(seen) == 4
    assert result.real.images == 3
    assert result.real.formats == {"JPEG": 2, "PNG": 1}
    assert result.real.short_sides == tuple(round(x) for x in np.percentile([427, 427, 48], [10, 50, 90]))
    assert result.real.square == 0
    assert result.generated.formats == {"PNG": 1}
    assert result.sources == {"a": {"real": 3}, "b": {"generated": 1}}
    assert result.unlabelled == 1
    assert result.sha256 == digest(find_samples(tmp_path))


def test_unreadable_files_are_named_with_their_reason(tmp_path):
    put(tmp_path, "0_real/whole.jpg", "1_fake/whole.png")
    (tmp_path / "0_real" / "cut.jpg").write_bytes(PHOTO.read_bytes()[:5000])
    (tmp_path / "1_fake" / "empty.png").write_bytes(b"")
    (tmp_path / "1_fake" / "text.png").write_text("hello")
    result = facts(tmp_path)
    assert list(result.unreadable) == ["0_real/cut.jpg", "1_fake/empty.png", "1_fake/text.png"]
    for (path, reason), told in zip(
        result.unreadable.items(), ("cut short", "0 bytes", "not an image"), strict=True
    ):
        assert path in reason
        assert told in reason
    assert (result.real.images, result.generated.images) == (1, 1)


def test_worker_processes_find_what_one_does(tmp_path):
    put(tmp_path, *(f"0_real/{i}.png" for i in range(20)), *(f"1_fake/{i}.jpg" for i in range(5)))
    (tmp_path / "1_fake" / "bad.jpg").write_bytes(b"bad")
    seen = []
    together = facts(tmp_path, workers=2, on_image=lambda: seen.append(1))
    assert together == facts(tmp_path)
    assert len(seen) == 26
    assert (together.real.images, together.generated.images, len(together.unreadable)) == (20, 5, 1)


def squares(root, real, generated):
    """Plain files: (format, width, height) for each label, three of each."""
    for folder, (kind, width, height) in (("0_real", real), ("1_fake", generated)):
        (root / folder).mkdir(parents=True)
        for i in range(3):
            Image.open(PHOTO).resize((width, height)).save(root / folder / f"{i}.{kind}")
    return facts(root).warnings


@pytest.mark.parametrize(
    ("real", "generated", "told"),
    [
        (("jpg", 64, 48), ("png", 64, 48), "100% JPEG real against 100% PNG generated"),
        (("png", 64, 48), ("png", 96, 80), "the median short side is 48 px real, 80 px generated"),
        (("png", 72, 64), ("png", 64, 64), "0% of real and 100% of generated images are square"),
    ],
)
def test_what_parts_the_labels_without_a_look_at_the_picture_is_warned_of(tmp_path, real, generated, told):
    (warning,) = squares(tmp_path, real, generated)
    assert told in warning


@pytest.mark.parametrize(
    ("real", "generated"),
    [
        (("png", 64, 48), ("png", 64, 48)),
        (("jpg", 64, 64), ("jpg", 72, 72)),
        (("png", 64, 48), ("png", 48, 64)),
    ],
    ids=["same", "sizes near", "turned"],
)
def test_an_aligned_set_gives_no_warning(tmp_path, real, generated):
    assert squares(tmp_path, real, generated) == ()


def test_formats_mixed_alike_on_both_sides_give_no_warning(tmp_path):
    for folder in ("0_real", "1_fake"):
        (tmp_path / folder).mkdir()
        for name in ("a.jpg", "b.png", "c.webp"):
            Image.open(PHOTO).resize((64, 48)).save(tmp_path / folder / name)
    assert facts(tmp_path).warnings == ()


def test_a_label_of_which_nothing_can_be_read_is_missing(tmp_path):
    put(tmp_path, "0_real/a.png")
    (tmp_path / "1_fake").mkdir()
    (tmp_path / "1_fake" / "a.png").write_bytes(b"bad")
    result = facts(tmp_path)
    assert result.generated is None
    assert "only real images" in result.warnings[0]


@pytest.mark.parametrize(("folder", "only"), [("0_real", "real"), ("1_fake", "generated")])
def test_a_set_of_one_label_is_warned_of(tmp_path, folder, only):
    (warning,) = facts(put(tmp_path, f"{folder}/a.png")).warnings
    assert f"only {only} images" in warning


def test_the_digest_tells_labels_and_paths(tmp_path):
    samples = [Sample("a", "s", 0), Sample("b", "s", 1)]
    others = [
        samples[:1],
        samples[::-1],
        [Sample("a", "s", 1), samples[1]],
        [Sample("c", "s", 0), samples[1]],
    ]
    assert len({digest(s) for s in (samples, *others)}) == 5
    assert find_images(tmp_path) == []
