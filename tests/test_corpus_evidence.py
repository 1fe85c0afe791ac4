"""Evidence inside the images of clones, and contact sheets of them."""

import csv
import json

import numpy as np
import pytest
from corpora import blob_of, clone, git, make_repository
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from tiny import squares

from pixelkin.images import encode, read
from pixelkin.lab.corpus import Entry, write_manifest
from pixelkin.lab.corpus.__main__ import main
from pixelkin.lab.corpus.evidence import COLUMNS, Finding, inspect_file, spread

PIXELS = squares(12)
GRAPH = json.dumps(
    {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "juggernautXL_v9.safetensors"}},
        "2": {"class_type": "KSampler", "inputs": {"model": ["1", 0]}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0]}},
    }
)


def png(pixels, **options):
    return encode(np.ascontiguousarray(pixels), "PNG", **options)


def comfy():
    info = PngInfo()
    info.add_text("prompt", GRAPH)
    return png(PIXELS[0], pnginfo=info)


def photograph(size=(48, 36), software="Ver.1.0", note=True, stated=None):
    """A JPEG as a camera writes it, with the size that its EXIF states."""
    block = Image.Exif()
    block[271], block[272], block[305] = "NIKON CORPORATION", "NIKON D70", software
    inner = block.get_ifd(0x8769)
    inner[36867] = "2005:07:01 12:00:00"
    inner[40962], inner[40963] = stated or size
    if note:
        inner[37500] = b"Nikon\0\2"
    return encode(np.ascontiguousarray(PIXELS[1][: size[1], : size[0]]), "JPEG", quality=90, exif=block)


FILES = {
    "ComfyUI_00001_.png": comfy(),
    "photos/DSC_0001.JPG": photograph(),
    "plain.png": png(PIXELS[2]),
    "torn.jpg": photograph()[:20],
    "pointer.png": b"version https://git-lfs.github.com/spec/v1\n",
    "readme.txt": b"no image",
}


@pytest.fixture(scope="module")
def clones(tmp_path_factory):
    """A clone with images of every sort, one of them in an earlier commit only."""
    folder = tmp_path_factory.mktemp("clones")
    origin = make_repository(folder / "origin", FILES | {"old.png": png(PIXELS[3])})
    (origin / "old.png").unlink()
    git("commit", "--quiet", "--all", "--message=less", folder=origin)
    clone(origin, folder / "all")
    return folder / "all"


def table(file):
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened, delimiter="\t", quoting=csv.QUOTE_NONE))


def test_every_image_of_a_clone_is_a_row_with_its_evidence_or_a_reason(clones, tmp_path, capsys):
    out = tmp_path / "found.tsv"
    assert main(["evidence", str(clones), f"--out={out}", "--all"]) == 0
    rows = {row["path"]: row for row in table(out)}
    assert set(rows) == set(FILES) - {"readme.txt"}
    made, real = rows["ComfyUI_00001_.png"], rows["photos/DSC_0001.JPG"]
    assert (made["evidence"], made["model"], made["family"]) == (
        "comfy",
        "juggernautXL_v9.safetensors",
        "sdxl",
    )
    assert (made["flags"], made["format"], made["width"]) == ("untouched", "PNG", "48")
    assert (real["evidence"], real["camera"], real["year"]) == ("camera", "NIKON D70", "2005")
    assert (real["flags"], real["jpeg_quality"], real["family"]) == ("untouched", "90", "")
    assert rows["pointer.png"]["reason"] == "a pointer of Git LFS, not the image"
    assert rows["torn.jpg"]["reason"]
    assert (rows["plain.png"]["evidence"], rows["plain.png"]["reason"]) == ("", "")
    assert "someone/pictures: unread 2" in capsys.readouterr().err


def test_without_all_only_evidence_and_reasons_are_rows_and_the_history_is_searched_when_asked(
    clones, tmp_path
):
    main(["evidence", str(clones), f"--out={tmp_path / 'a.tsv'}"])
    assert "plain.png" not in {row["path"] for row in table(tmp_path / "a.tsv")}
    main(["evidence", str(clones / "someone+pictures"), f"--out={tmp_path / 'b.tsv'}", "--all", "--history"])
    found = {row["path"]: row for row in table(tmp_path / "b.tsv")}
    assert found["old.png"]["width"] == "48"


def test_a_search_goes_on_where_it_stopped(clones, tmp_path):
    out, done = tmp_path / "found.tsv", tmp_path / "found.tsv.done"
    main(["evidence", str(clones), f"--out={out}"])
    whole = out.read_text()
    assert done.read_text() == "someone/pictures\n"
    done.write_text("")  # it stopped after writing some rows
    out.write_text("".join(whole.splitlines(keepends=True)[:2]))
    main(["evidence", str(clones), f"--out={out}"])
    assert out.read_text() == whole
    main(["evidence", str(clones), f"--out={out}"])
    assert out.read_text() == whole
    assert tuple(whole.splitlines()[0].split("\t")) == COLUMNS


def test_absent_objects_and_clones_that_are_none_are_rows_with_a_reason(tmp_path, capsys):
    origin = make_repository(tmp_path / "origin", {"a.png": png(PIXELS[0]), "b.png": png(PIXELS[1])})
    clone(origin, tmp_path / "all", "a+partial", "--bare", "--filter=blob:none", "--no-local")
    bare = tmp_path / "all" / "b+empty"
    (bare / "objects").mkdir(parents=True)
    (bare / "HEAD").write_text("nothing")
    main(["evidence", str(tmp_path / "all"), f"--out={tmp_path / 'f.tsv'}"])
    rows = table(tmp_path / "f.tsv")
    assert [(row["path"], row["reason"]) for row in rows[:2]] == [
        ("a.png", "absent from the clone"),
        ("b.png", "absent from the clone"),
    ]
    assert rows[2]["repository"] == "b/empty"
    assert "cannot be listed" in rows[2]["reason"]
    with pytest.raises(SystemExit) as stopped:
        main(["evidence", str(tmp_path / "none"), f"--out={tmp_path / 'g.tsv'}"])
    assert stopped.value.code == 2
    assert "no clone, and no folder of clones" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("facts", "evidence", "flags"),
    [
        ({}, "camera", "untouched"),
        ({"note": False}, "camera-bare", ""),
        ({"software": "Adobe Photoshop CS2"}, "camera+resaved", "resaved"),
        ({"stated": (96, 72)}, "camera+resized", "resized"),
        ({"stated": (36, 48)}, "camera", "untouched"),
        ({"size": (48, 20)}, "camera+cropped", "cropped"),
    ],
)
def test_what_was_done_to_a_photograph_is_flagged(facts, evidence, flags):
    found = inspect_file(Finding("a/b", "x.jpg", "0" * 40), photograph(**facts))
    assert (found.evidence, found.flags) == (evidence, flags)


def test_a_limit_is_spread_over_the_folders():
    images = [(str(n), f"large/{n}.png") for n in range(100)] + [("x", "small/x.png"), ("y", "y.png")]
    chosen = {path for _, path in spread(images, 12)}
    assert {"small/x.png", "y.png"} <= chosen
    assert len(chosen) == 6
    assert spread(images[:3], 12) == images[:3]


def test_a_contact_sheet_has_numbers_and_a_list_and_red_squares(clones, tmp_path, capsys):
    out = tmp_path / "found.tsv"
    main(["evidence", str(clones), f"--out={out}", "--all"])
    main(["sheets", str(out), f"--clones={clones}", f"--out={tmp_path / 'sheets'}", "--side=40"])
    name = "someone+pictures"
    assert capsys.readouterr().out == f"{tmp_path / 'sheets' / name}.jpg\t5\n"
    lines = (tmp_path / "sheets" / f"{name}.txt").read_text().splitlines()
    numbers, _, paths = zip(*(line.split("\t") for line in lines), strict=True)
    assert numbers == ("0", "1", "2", "3", "4")
    sheet = read(tmp_path / "sheets" / f"{name}.jpg").pixels
    assert sheet.shape == (52, 200, 3)
    place = paths.index("pointer.png")
    assert sheet[10, place * 40 + 20, 0] > 200 > 100 > sheet[10, place * 40 + 20, 1]
    shown = Image.fromarray(PIXELS[2]).resize((40, 40))
    place = paths.index("plain.png")
    assert np.abs(sheet[:40, place * 40 : place * 40 + 40].astype(int) - np.asarray(shown)).mean() < 12


def test_a_manifest_has_a_sheet_for_each_source(clones, tmp_path, capsys):
    blob = blob_of(clones / "someone+pictures", "plain.png")
    rows = [Entry("train", "0_real", source, "someone/pictures", "plain.png", blob) for source in "ab"]
    write_manifest(tmp_path / "m.tsv.gz", rows)
    main(
        ["sheets", str(tmp_path / "m.tsv.gz"), f"--clones={clones}", f"--out={tmp_path / 's'}", "--source=b"]
    )
    assert capsys.readouterr().out == f"{tmp_path / 's' / 'b.jpg'}\t1\n"
