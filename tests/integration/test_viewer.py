"""The viewer in a browser: what is painted is what was sent, also while slices are on their way."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import nibabel
import numpy as np
import pytest

from node.cli.demo.phantom import mr_study
from node.dimse.scu.requests import Destination, send
from tests.browser import Browser
from tests.phantom import save
from tests.running import TITLE, RunningNode, eventually, free_port
from tests.unit.assemble.test_labels import LABELS, PHANTOM, box, images, segmentation

PAINTED = (
    "document.querySelectorAll('.plane:not([hidden]) canvas').length > 0 &&"
    "document.querySelectorAll('.plane:not([hidden]).pending').length === 0 &&"
    "[...document.querySelectorAll('.plane:not([hidden]) canvas')].every((one) => one.width > 300)"
)
LABEL = 1


@dataclass
class Viewed:
    """A node with a CT, labels on it, and a 4D MR."""

    node: RunningNode
    page: httpx.Client
    moving: str

    def url(self, series: str) -> str:
        return f"{self.page.base_url}/series/{series}"

    def volume(self, series: str) -> tuple[dict[str, Any], np.ndarray, str]:
        """The view of its volume, its values, and the volume's URL."""
        files = self.page.get(f"/api/series/{series}").json()["files"]
        file = next(one for one in files if one["volume"])
        image = nibabel.load(file["path"])
        values = image.get_fdata().reshape(*image.shape[:3], -1)
        return self.page.get(file["volume"]).json(), values, file["volume"]


@pytest.fixture(scope="module")
def viewed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewed]:
    port = free_port()
    folder = tmp_path_factory.mktemp("viewer")
    node = RunningNode(folder, {"http": {"port": port}, "completion": {"quiet_seconds": 1}})
    study = mr_study(datetime(2025, 3, 4, 9, 30, 0), (24, 20, 6, 4))  # noqa: DTZ001
    labels = segmentation([box((2, 4), (3, 7), (4, 9))])
    labels.SeriesInstanceUID = LABELS
    labels.SeriesDescription = "<b>Organs</b>"
    save(images(), folder / "images")
    save([labels], folder / "labels")
    try:
        node.start()
        node.send(folder / "images")
        sent = study.data_sets
        contexts = {(str(sent[0].SOPClassUID), str(sent[0].file_meta.TransferSyntaxUID))}
        send(Destination("127.0.0.1", node.port, TITLE, "TESTS"), sent, contexts)
        node.send(folder / "labels", options=["--required"])
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as page:
            made = Viewed(node, page, study.series_uid)
            for uid in (PHANTOM.series, LABELS, study.series_uid):
                eventually(
                    lambda uid=uid: page.get(f"/api/series/{uid}").json().get("state") == "ready",
                    120,
                    "the series is ready",
                )
            yield made
    finally:
        node.kill()


@pytest.fixture(scope="module")
def window(viewed: Viewed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as made:
        yield made
        assert made.errors == []


def opened(browser: Browser, viewed: Viewed, series: str) -> Browser:
    browser.open(viewed.url(series))
    browser.until(f"location.href === '{viewed.url(series)}' && {PAINTED}")
    for name in ("Smooth", "Lines"):  # voxels as they are, and no lines over them
        if browser.run(f"{box_of(name)}.checked"):
            browser.run(f"{box_of(name)}.click()")
    settled(browser)
    return browser


def box_of(name: str) -> str:
    return (
        "[...document.querySelectorAll('.viewer-root label')]"
        f".find((one) => one.textContent.includes('{name}')).querySelector('input')"
    )


def settled(browser: Browser) -> None:
    """Wait for two frames, then until every plane shows what its numbers say."""
    browser.run("new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)))")
    browser.until(PAINTED)


def colour(browser: Browser, view: dict[str, Any], name: str, across: int, up: int) -> list[int]:
    """What is painted in the middle of a voxel, by its indices on the plane's axes."""
    plane = next(one for one in view["planes"] if one["name"] == name)
    wide, high = plane["width"] * plane["pixel_width"], plane["height"] * plane["pixel_height"]
    column, row = plane["width"] - across - 0.5, plane["height"] - up - 0.5
    return browser.run(
        f"(() => {{ const one = document.querySelector('[data-plane={name}] canvas');"
        f"const scale = Math.min(one.width / {wide}, one.height / {high});"
        f"const x = one.width / 2 + ({column / plane['width']} - .5) * {wide} * scale;"
        f"const y = one.height / 2 + ({row / plane['height']} - .5) * {high} * scale;"
        "return [...one.getContext('2d').getImageData(x, y, 1, 1).data]; })()"
    )[:3]


def grey(value: float, low: float, high: float) -> int:
    return int(np.clip((value - low) / (high - low) * 255, 0, 255))


def number(browser: Browser, name: str) -> int:
    text = browser.run(f"document.querySelector('[data-plane={name}] output').textContent")
    return int(text.split(" / ")[0]) - 1


def black_and_white(browser: Browser) -> tuple[float, float]:
    field = "Number(document.querySelector('input[aria-label={}]').value)"
    return browser.run(field.format("Black")), browser.run(field.format("White"))


def check_axial(browser: Browser, viewed: Viewed, series: str, time: int = 0) -> None:
    """The axial plane has the greys of the slice that its number names."""
    view, values, _ = viewed.volume(series)
    low, high = black_and_white(browser)
    k = number(browser, "axial")
    for i, j in ((1, 2), (view["shape"][0] // 2, 3), (view["shape"][0] - 2, 1)):
        found = colour(browser, view, "axial", i, j)
        wanted = grey(values[i, j, k, time], low, high)
        assert max(abs(each - wanted) for each in found) <= 2, (i, j, k, found, wanted)


def test_scrolling_paints_the_slice_of_the_number(window: Browser, viewed: Viewed) -> None:
    opened(window, viewed, viewed.moving)
    check_axial(window, viewed, viewed.moving)
    before = number(window, "axial")
    window.wheel("[data-plane=axial] canvas", -100)
    settled(window)
    assert number(window, "axial") == before + 1
    check_axial(window, viewed, viewed.moving)
    window.run("document.querySelector('[data-plane=axial] canvas').focus()")
    for key, wanted in (("Home", 0), ("ArrowUp", 1), ("PageUp", 5), ("ArrowDown", 4)):
        window.key(key)
        settled(window)
        assert number(window, "axial") == wanted
        check_axial(window, viewed, viewed.moving)


def test_a_plane_that_is_not_painted_yet_says_so(window: Browser, viewed: Viewed) -> None:
    opened(window, viewed, PHANTOM.series)
    window.run("document.querySelector('[data-plane=coronal] canvas').focus()")
    slow = {"offline": False, "downloadThroughput": -1, "uploadThroughput": -1}
    window.command("Network.emulateNetworkConditions", latency=1500, **slow)
    try:
        window.key("Home")
        window.run("new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)))")
        plane = "document.querySelector('[data-plane=coronal]')"
        assert window.run(f"{plane}.classList.contains('pending')")
        assert window.run(f"{plane}.querySelector('canvas').getAttribute('aria-busy')") == "true"
        assert window.run(f"!{plane}.querySelector('.badge').hidden")
        assert number(window, "coronal") == 0
        window.key("End")  # supersedes it
        time.sleep(0.6)
    finally:
        window.command("Network.emulateNetworkConditions", latency=0, **slow)
    settled(window)
    assert window.run(f"{plane}.querySelector('.badge').hidden")
    view, values, _ = viewed.volume(PHANTOM.series)
    low, high = black_and_white(window)
    j = number(window, "coronal")
    assert j == view["shape"][1] - 1
    for i, k in ((1, 2), (5, 4)):
        wanted = grey(values[i, j, k, 0], low, high)
        assert abs(colour(window, view, "coronal", i, k)[0] - wanted) <= 2


def test_the_window_by_mouse_and_keyboard(window: Browser, viewed: Viewed) -> None:
    opened(window, viewed, viewed.moving)
    first = black_and_white(window)
    window.drag(window.middle("[data-plane=axial] canvas"), (60, -30), "right")
    settled(window)
    low, high = black_and_white(window)
    assert high - low > (first[1] - first[0]) * 1.1
    assert low + high < sum(first)  # up is brighter
    check_axial(window, viewed, viewed.moving)
    window.run("document.querySelector('[data-plane=axial] canvas').focus()")
    window.key("W", shift=True)
    window.key("L", shift=True)
    settled(window)
    narrower = black_and_white(window)
    assert narrower[1] - narrower[0] < high - low
    assert sum(narrower) < low + high
    window.key("0")
    settled(window)
    assert black_and_white(window) == first


def test_true_proportions_and_distances(window: Browser, viewed: Viewed) -> None:
    """Voxels of 1.5 × 2 × 3 mm: as many pixels are as many mm in every direction."""
    opened(window, viewed, PHANTOM.series)
    view, *_ = viewed.volume(PHANTOM.series)
    window.click("[data-choice=measure]")
    for plane in view["planes"]:
        name = plane["name"]
        wide, high = plane["width"] * plane["pixel_width"], plane["height"] * plane["pixel_height"]
        drawn = window.run(
            f"(() => {{ const one = document.querySelector('[data-plane={name}] canvas');"
            "return [one.clientWidth, one.clientHeight]; })()"
        )
        wanted = 60 / min(drawn[0] / wide, drawn[1] / high)
        for by in ((60, 0), (0, 60)):
            window.run(
                "window.said = []; CanvasRenderingContext2D.prototype.kept ??="
                "CanvasRenderingContext2D.prototype.fillText;"
                "CanvasRenderingContext2D.prototype.fillText = function (text, ...where) {"
                "window.said.push(text); return this.kept(text, ...where); }; true"
            )
            x, y = window.middle(f"[data-plane={name}] canvas")
            window.drag((x - 20, y - 20), by)
            settled(window)
            said = [one for one in window.run("window.said") if one.endswith(" mm")]
            assert abs(float(said[-1].removesuffix(" mm")) - wanted) < 0.06, (name, by, said)
            window.key("Escape")


def test_the_value_under_the_mouse(window: Browser, viewed: Viewed) -> None:
    opened(window, viewed, PHANTOM.series)
    _, values, _ = viewed.volume(PHANTOM.series)
    x, y = window.middle("[data-plane=sagittal] canvas")
    window.command("Input.dispatchMouseEvent", type="mouseMoved", x=x - 30, y=y + 10)
    settled(window)
    text = window.run("document.querySelector('.reading').textContent")
    said = re.match(r"voxel \((\d+), (\d+), (\d+)\) = ([-0-9.]+)   R A S", text)
    assert said, text
    i, j, k = (int(each) for each in said.groups()[:3])
    assert i == number(window, "sagittal")
    assert (j, k) != tuple(count // 2 for count in PHANTOM.size[1:])
    assert float(said[4]) == values[i, j, k, 0]


def test_zoom_and_pan_keep_the_voxel_under_the_mouse(window: Browser, viewed: Viewed) -> None:
    opened(window, viewed, PHANTOM.series)
    x, y = window.middle("[data-plane=axial] canvas")
    reading = "document.querySelector('.reading').textContent"

    def under(dx: float) -> str:
        window.command("Input.dispatchMouseEvent", type="mouseMoved", x=x + dx, y=y + 30)
        return window.run(reading)

    one, other = under(40), under(80)
    window.run("document.querySelector('[data-plane=axial] canvas').focus()")
    window.command(
        "Input.dispatchMouseEvent", type="mouseWheel", x=x + 40, y=y + 30, deltaX=0, deltaY=-100,
        modifiers=2,
    )  # fmt: skip
    assert under(40) == one
    for _ in range(8):
        window.key("+")
    settled(window)
    window.drag((x + 40, y + 30), (25, 0), "middle")
    assert under(80) != other
    window.key("0")
    settled(window)
    assert under(80) == other


def test_time_runs(window: Browser, viewed: Viewed) -> None:
    opened(window, viewed, viewed.moving)
    shown = "document.querySelector('[aria-label=\"Time point\"]').value"
    window.run("document.querySelector('[data-plane=axial] canvas').focus()")
    window.key("ArrowRight")
    settled(window)
    assert window.run(shown) == "1"
    check_axial(window, viewed, viewed.moving, time=1)
    window.key(" ")
    seen: set[str] = set()
    eventually(lambda: len(seen.add(window.run(shown)) or seen) == 4, 60, "all times were shown")
    window.key(" ")
    settled(window)
    stopped = window.run(shown)
    time.sleep(0.6)
    assert window.run(shown) == stopped
    check_axial(window, viewed, viewed.moving, time=int(stopped))


def labelled(viewed: Viewed) -> tuple[int, int, int]:
    """A voxel inside the label."""
    _, values, _ = viewed.volume(LABELS)
    inside = np.argwhere(values[..., 0] == LABEL)
    i, j, k = inside[len(inside) // 2].tolist()
    return i, j, k


@pytest.mark.parametrize("series", [PHANTOM.series, LABELS])
def test_labels_are_shown_in_colour_over_their_series(
    window: Browser, viewed: Viewed, series: str
) -> None:
    opened(window, viewed, series)
    view, values, _ = viewed.volume(PHANTOM.series)
    assert view["labels"] == []
    i, j, k = labelled(viewed)
    low, high = black_and_white(window)
    plain = grey(values[i, j, k, 0], low, high)
    legend = window.run("document.querySelector('.legend').textContent")
    assert "<b>Organs</b>" in legend
    assert "Part 1" in legend
    window.run(
        "(() => { const one = document.querySelector('[aria-label=\"axial slice number\"]');"
        f"one.value = {k}; one.dispatchEvent(new Event('input')); }})()"
    )
    settled(window)
    tinted = colour(window, view, "axial", i, j)
    assert max(tinted) - min(tinted) > 30
    opacity = (
        "(() => {{ const one = document.querySelector('[aria-label=\"Opacity of labels\"]');"
        "one.value = {}; one.dispatchEvent(new Event('input')); }})()"
    )
    window.run(opacity.format(0))
    settled(window)
    assert max(abs(each - plain) for each in colour(window, view, "axial", i, j)) <= 2
    window.run(opacity.format(0.5))
    settled(window)
    assert colour(window, view, "axial", i, j) == tinted
    window.run(f"{box_of('Part 1')}.click()")
    settled(window)
    assert max(abs(each - plain) for each in colour(window, view, "axial", i, j)) <= 2


def test_a_label_map_tells_its_volume_its_labels_and_its_source(viewed: Viewed) -> None:
    view, values, url = viewed.volume(LABELS)
    i, j, k = labelled(viewed)
    assert [one["name"] for one in view["labels"]] == ["Part 1"]
    assert view["labelled"] == viewed.volume(PHANTOM.series)[2]
    (over,) = viewed.page.get(view["labelled"].replace("?", "/labels?")).json()
    assert over["volume"] == url
    asked = {"i": i, "j": j, "k": k}
    voxel = viewed.page.get(url.split("?")[0] + "/voxel", params=asked).json()
    assert voxel["value"] == [values[i, j, k, 0]]
    held = viewed.node.instances()
    (own,) = [one for one in held if one["series_instance_uid"] == LABELS]
    assert voxel["source"] == own["sop_instance_uid"]


def test_a_phone(viewed: Viewed, tmp_path: Path) -> None:
    with Browser(tmp_path, (390, 844), touch=True) as phone:
        opened(phone, viewed, PHANTOM.series)
        assert phone.run("document.documentElement.scrollWidth") <= 390
        shown = (
            "[...document.querySelectorAll('.plane:not([hidden])')].map((one) => one.dataset.plane)"
        )
        assert phone.run(shown) == ["axial"]
        before = number(phone, "axial")
        phone.swipe(phone.middle("[data-plane=axial] canvas"), (0, -16))
        settled(phone)
        assert number(phone, "axial") == before + 2
        x, y = phone.middle("[data-plane=axial] canvas")
        view, values, _ = viewed.volume(PHANTOM.series)
        low, high = black_and_white(phone)
        i, j, k = 2, 2, number(phone, "axial")
        wanted = grey(values[i, j, k, 0], low, high)
        assert abs(colour(phone, view, "axial", i, j)[0] - wanted) <= 2
        closer = [[(x - 20 * part, y), (x + 20 * part, y)] for part in range(1, 5)]
        phone.touches(closer)
        settled(phone)
        assert number(phone, "axial") == k
        phone.run("document.querySelector('[data-choice=coronal]').click()")
        settled(phone)
        assert phone.run(shown) == ["coronal"]
        assert phone.errors == []


def test_the_viewers_process_is_replaced_and_costs_the_node_nothing(viewed: Viewed) -> None:
    children = subprocess.run(
        ["ps", "-o", "pid=,comm=", "--ppid", str(viewed.node.process.pid)],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    (pid,) = [int(line.split()[0]) for line in children.splitlines() if "rasnode-viewer" in line]
    os.kill(pid, signal.SIGKILL)
    files = viewed.page.get(f"/api/series/{PHANTOM.series}").json()["files"]
    url = next(one["volume"] for one in files if one["volume"])
    eventually(lambda: viewed.page.get(url).status_code == 200, 60, "the viewer answers again")
    eventually(lambda: viewed.page.get("/health").status_code == 200, 60, "the node is healthy")
