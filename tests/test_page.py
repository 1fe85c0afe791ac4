"""The page in a real browser: what a person does with it, with real files."""

import base64
import csv
import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from serving import running
from tiny import EXAMPLES

from pixelkin.caution import CAUTION
from pixelkin.errors import ImageSizeError
from pixelkin.images import read
from pixelkin.model import load
from pixelkin.service.limits import Limits, check_bytes

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE = 120_000  # ms: the machine may be busy with other tests
FILES = sorted(EXAMPLES.glob("*-*.*"))
PASTE = """([names, kinds, contents]) => {
    const transfer = new DataTransfer();
    names.forEach((name, place) => {
        const bytes = Uint8Array.from(atob(contents[place]), (each) => each.charCodeAt(0));
        transfer.items.add(new File([bytes], name, { type: kinds[place] }));
    });
    document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true }));
}"""

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not CHROMIUM, reason="no Chromium is installed here")]
playwright = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")


@pytest.fixture(scope="module")
def service():
    with running() as service:
        yield service


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, service):
    """Opens the page; afterwards nothing may have gone elsewhere, and no script may have failed."""
    contexts, elsewhere, failures = [], [], []

    def open_page(url=service.url, **options):
        context = browser.new_context(accept_downloads=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("request", lambda sent: elsewhere.append(sent.url) if not _is_here(sent.url, url) else None)
        page.on("pageerror", lambda error: failures.append(str(error)))
        page.on("console", lambda said: failures.append(said.text) if "Security" in said.text else None)
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert elsewhere == []
    assert failures == []


@pytest.fixture
def page(opened):
    page = opened()
    page.wait_for_selector("body[data-ready]")
    return page


def _is_here(url, service):
    return url.startswith((service, "blob:", "data:"))


def drop(page, files):
    """Drags files from the disk over the page and lets them fall, by the browser's own events."""
    data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
    box = page.locator("#drop").bounding_box()
    place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + 20, "data": data}
    session = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, **place})


def paste(page, files):
    contents = [base64.b64encode(file.read_bytes()).decode() for file in files]
    kinds = [f"image/{file.suffix[1:].replace('jpg', 'jpeg')}" for file in files]
    page.evaluate(PASTE, [[file.name for file in files], kinds, contents])


def judged(page, count):
    """Waits until ``count`` images are done; gives the rows of the table as lists of their texts."""
    page.wait_for_function(
        "count => document.querySelectorAll('tr[data-state=done], tr[data-state=failed]').length === count",
        arg=count,
    )
    page.wait_for_selector("progress.complete", state="attached")
    return [
        [cell.strip() for cell in row.locator("td").all_inner_texts()]
        for row in page.locator("tbody tr").all()
    ]


def row_of(page, name):
    return page.locator("tbody tr", has_text=name)


def crops(folder, count):
    for place in range(count):
        file = folder / f"crop-{place:02}.png"
        pixels = read(FILES[place % len(FILES)]).pixels[: 100 + place, : 120 + place]
        Image.fromarray(pixels).save(file)
        yield file


def test_dropped_files_are_judged_as_on_the_command_line(page, service):
    drop(page, FILES)
    rows = judged(page, len(FILES))
    model = load(threads=1)
    for file, (_, name, verdict, probability, *_) in zip(FILES, rows, strict=True):
        said = model.detect(file)
        assert name == file.name
        assert verdict == str(said.verdict)
        assert abs(int(probability.removesuffix("%")) - 100 * said.probability) <= 0.51
    assert page.inner_text("#summary").startswith(f"{len(FILES)} images: ")


def test_the_caution_stands_below_an_empty_page_and_above_the_verdicts_too(page):
    assert page.inner_text("footer .caution") == CAUTION
    drop(page, FILES[:1])
    judged(page, 1)
    assert page.inner_text(".reminder") == CAUTION


def test_pasted_and_chosen_files_are_judged_too(page):
    paste(page, FILES[:1])
    judged(page, 1)
    page.set_input_files("#files", FILES[1:3])
    assert [row[1] for row in judged(page, 3)] == [file.name for file in FILES[:3]]


def test_uncertain_is_explained_in_place(page):
    drop(page, FILES)
    judged(page, len(FILES))
    page.locator("tr[data-verdict=uncertain]").first.click()
    assert page.inner_text(".verdict-title") == "Uncertain"
    assert "wrong too often to say" in page.inner_text(".explanation")
    assert 0 <= int(page.get_attribute(".scale", "aria-valuenow")) <= 100


def test_the_slider_moves_the_heat_map_over_the_picture(page):
    drop(page, FILES[:1])
    judged(page, 1)
    heat = page.wait_for_selector(".heat")
    assert heat.bounding_box() == page.locator(".photo").bounding_box()
    page.locator("#strength").fill("0")
    bare = page.locator(".frame").screenshot()
    assert heat.evaluate("it => getComputedStyle(it).opacity") == "0"
    page.locator("#strength").press("End")
    assert heat.evaluate("it => getComputedStyle(it).opacity") == "1"
    covered = page.locator(".frame").screenshot()
    bare, covered = (np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), int) for png in (bare, covered))
    assert np.abs(bare - covered).mean() > 5


def test_relations_and_the_file_s_own_words_are_shown(page, tmp_path):
    exif = Image.Exif()
    exif[0x010F] = "Camera & Co <b>"
    Image.open(FILES[-1]).save(tmp_path / "mine.jpg", exif=exif)
    drop(page, [tmp_path / "mine.jpg"])
    judged(page, 1)
    page.wait_for_selector(".heat")
    page.click("#tab-relation")
    assert page.evaluate("document.querySelector('.relation img').naturalWidth") == 640
    page.keyboard.press("ArrowRight")
    assert "Camera & Co <b>" in page.inner_text(".evidence")
    assert "no part of the verdict" in page.inner_text("#panel")


def test_an_unreadable_file_is_told_and_the_others_are_judged(page, tmp_path):
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(FILES[-1].read_bytes()[:9000])
    (tmp_path / "notes.txt").write_text("no image")
    drop(page, [FILES[0], cut, tmp_path / "notes.txt", FILES[1]])
    rows = judged(page, 4)
    assert [row[2] in {"real", "uncertain", "generated"} for row in rows] == [True, False, False, True]
    row_of(page, "cut.jpg").click()
    assert "cut.jpg: damaged or cut short" in page.inner_text("#detail")
    row_of(page, "notes.txt").click()
    assert "not an image of a kind that is read here" in page.inner_text("#detail")
    assert "2 not judged" in page.inner_text("#summary")


def test_fifty_files_at_once_are_sorted_and_downloaded(page, tmp_path):
    files = list(crops(tmp_path, 50))
    drop(page, files)
    assert [row[1] for row in judged(page, 50)] == [file.name for file in files]
    page.click("[data-sort=probability]")
    shown = [int(row[3].removesuffix("%")) for row in judged(page, 50)]
    assert shown == sorted(shown, reverse=True)
    assert page.get_attribute("th:nth-child(4)", "aria-sort") == "descending"
    page.click("[data-sort=path]")
    with page.expect_download() as as_csv:
        page.click("#csv")
    with page.expect_download() as as_json:
        page.click("#json")
    table = list(csv.DictReader(io.StringIO(Path(as_csv.value.path()).read_text())))
    objects = json.loads(Path(as_json.value.path()).read_text())
    assert [row["path"] for row in table] == [file.name for file in files]
    assert [row["path"] for row in objects] == [file.name for file in files]
    assert [float(row["probability"]) for row in table] == [row["probability"] for row in objects]


def test_everything_can_be_done_from_the_keyboard(page):
    drop(page, FILES[:3])
    judged(page, 3)
    page.focus("#choose")
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.tagName") == "TR":
            break
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert page.inner_text("#detail h2") == FILES[2].name
    page.keyboard.press("Home")
    assert page.inner_text("#detail h2") == FILES[0].name
    assert page.locator("tr[aria-selected=true]").count() == 1
    page.wait_for_selector(".heat")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "tab-heat"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "strength"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_of_it_without_sideways_scrolling(opened, scheme):
    page = opened(viewport={"width": 390, "height": 844}, color_scheme=scheme, has_touch=True)
    page.wait_for_selector("body[data-ready]")
    drop(page, FILES)
    judged(page, len(FILES))
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    row_of(page, FILES[2].name).tap()
    page.wait_for_selector(".heat")
    page.wait_for_function("document.querySelector('#detail').getBoundingClientRect().top < 300")
    lightness = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]")
    assert (lightness > 128) == (scheme == "light")


def test_with_a_key_the_page_asks_for_it(opened):
    with running(PIXELKIN_API_KEY="k") as keyed:
        page = opened(keyed.url)
        page.fill("#key", "k")
        page.keyboard.press("Enter")
        page.wait_for_selector("body[data-ready]")
        drop(page, FILES[:1])
        assert judged(page, 1)[0][2]


def test_a_file_over_the_limit_is_a_row_with_the_service_s_sentence(opened, tmp_path):
    with running("--max-megabytes", 1) as small:
        page = opened(small.url)
        page.wait_for_selector("body[data-ready]")
        (tmp_path / "big.png").write_bytes(bytes(1024**2 + 1))
        drop(page, [tmp_path / "big.png", FILES[0]])
        judged(page, 2)
        row_of(page, "big.png").click()
        with pytest.raises(ImageSizeError) as refused:
            check_bytes("big.png", bytes(1024**2 + 1), Limits(file_bytes=1024**2))
        assert str(refused.value) in page.inner_text("#detail")


def test_a_drop_without_files_is_told(page):
    page.evaluate("dispatchEvent(new DragEvent('drop', { dataTransfer: new DataTransfer() }))")
    page.wait_for_selector("#notice:not([hidden])")
    assert "no file" in page.inner_text("#notice")
    drop(page, FILES[:1])
    judged(page, 1)
    assert page.is_hidden("#notice")
