"""What people do on the page, in a real browser: log in, find, assemble again, upload, deliver,
fetch, send results, administer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import pytest
import yaml

from tests.browser import Browser
from tests.integration.test_users import PASSWORD, rasnode
from tests.running import RunningNode, eventually, free_port
from tests.small import small_ct

ROWS = "document.querySelectorAll('#studies tbody tr:not(.study)').length"
SAID = "document.querySelector('#actions [role=status]')?.textContent"


@dataclass
class Working:
    """A node with a user, two studies and a delivery that writes a line each time."""

    node: RunningNode
    address: str
    delivered: Path

    def lines(self) -> int:
        return len(self.delivered.read_text().splitlines()) if self.delivered.exists() else 0


@pytest.fixture(scope="module")
def working(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Working]:
    folder, port = tmp_path_factory.mktemp("page"), free_port()
    delivered = folder / "delivered"
    write = ["sh", "-c", f"echo {{image}} >> {delivered}"]
    http = {"port": port, "auth": {"local": True}}
    node = RunningNode(folder, {"http": http, "completion": {"quiet_seconds": 1}})
    config = yaml.safe_load(node.config.read_text())
    config["deliver"] = [
        {"name": "lines", "events": ["ready"], "command": {"run": write}},
        {"name": "mr-only", "when": {"Modality": "MR"}, "command": {"run": write}},
    ]
    config["dicom"]["peers"] = [
        {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": free_port()}
    ]
    node.config.write_text(yaml.safe_dump(config))
    for name in ("Head", "Knee"):
        small_ct(folder / name, 4, announced=True, description=name)
    try:
        for name, role in (("otto", "operator"), ("anna", "admin")):
            added = rasnode(node, "user", "add", name, "--role", role, typed=PASSWORD)
            assert added.returncode == 0, added.stderr
        node.start()
        for name in ("Head", "Knee"):
            node.send(folder / name)
        eventually(
            lambda: [one["state"] for one in node.series()] == ["ready"] * 2, 60, "both are ready"
        )
        yield Working(node, f"http://127.0.0.1:{port}", delivered)
    finally:
        node.kill()


@pytest.fixture(scope="module")
def window(working: Working, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as made:
        made.open(f"{working.address}/")
        made.until("location.pathname === '/login' && document.readyState === 'complete'")
        log_in(made, "wrong")
        made.until("/name|password/i.test(document.getElementById('trouble')?.textContent ?? '')")
        log_in(made, PASSWORD)
        made.until(f"location.pathname === '/' && {ROWS} === 2")
        yield made
        assert made.errors == []


def log_in(browser: Browser, password: str, user: str = "otto") -> None:
    for name, text in (("name", user), ("password", password)):
        browser.run(f"document.getElementById('{name}').focus()")
        browser.run(f"document.getElementById('{name}').value = ''")
        browser.command("Input.insertText", text=text)
    browser.run("document.querySelector('form.login').requestSubmit()")


def listed(browser: Browser, working: Working) -> None:
    browser.open(f"{working.address}/")
    browser.until(f"location.pathname === '/' && {ROWS} >= 2")


def series_page(browser: Browser, description: str) -> None:
    browser.run(
        "[...document.querySelectorAll('#studies tbody a')]"
        f".find((one) => one.textContent.includes('{description}')).click()"
    )
    browser.until(
        "location.pathname.startsWith('/series/') && !!document.querySelector('#actions button')"
    )


def press(browser: Browser, text: str) -> str:
    browser.run(
        "[...document.querySelectorAll('#actions button')]"
        f".find((one) => one.textContent === '{text}').click()"
    )
    return str(browser.until(SAID))


def test_a_study_is_found_and_back_leads_to_the_same_place(
    window: Browser, working: Working
) -> None:
    listed(window, working)
    window.run("document.querySelector('[name=search]').focus()")
    window.command("Input.insertText", text="Knee")
    window.until(f"{ROWS} === 1")
    assert "Knee" in window.run("document.querySelector('#studies').textContent")
    assert "Knee" not in window.run("location.href")
    series_page(window, "Knee")
    window.run("history.back()")
    window.until(f"location.pathname === '/' && {ROWS} === 1")
    assert window.run("document.querySelector('[name=search]').value") == "Knee"
    window.run("document.querySelector('button[type=reset]').click()")
    window.until(f"{ROWS} === 2")
    window.run(
        "[...document.querySelectorAll('.chip')]"
        ".find((one) => one.textContent.startsWith('Held')).click()"
    )
    window.until(f"{ROWS} === 0 && location.search.includes('held')")


def test_a_series_is_assembled_and_delivered_again(window: Browser, working: Working) -> None:
    eventually(lambda: working.lines() == 2, 30, "both are delivered")
    listed(window, working)
    series_page(window, "Head")
    assert "again" in press(window, "Deliver again")
    eventually(lambda: working.lines() == 3, 30, "it is delivered again")
    assert "Head" in window.run("document.title")
    assert press(window, "Assemble again")
    eventually(
        lambda: [one["state"] for one in working.node.series()] == ["ready"] * 2, 60, "ready again"
    )


def test_one_delivery_is_made_again_from_the_queue(window: Browser, working: Working) -> None:
    before = working.lines()
    window.open(f"{working.address}/deliveries")
    window.until("document.querySelectorAll('#deliveries tbody tr').length >= 2")
    text = window.run("document.querySelector('#deliveries tbody').textContent")
    assert "lines" in text
    assert "Head" in text
    window.run("document.querySelector('#deliveries tbody button').click()")
    window.until("document.getElementById('said').textContent.includes('made again')")
    eventually(lambda: working.lines() == before + 1, 30, "that delivery alone is made again")
    window.run(
        "[...document.querySelectorAll('.chip')]"
        ".find((one) => one.textContent.startsWith('Given up')).click()"
    )
    window.until("!document.getElementById('empty').hidden && location.search === '?state=dead'")


def test_rules_are_tried_and_nothing_is_sent(window: Browser, working: Working) -> None:
    before = working.lines()
    listed(window, working)
    series_page(window, "Knee")
    window.until("!!document.querySelector('#rules button')")
    window.run("document.querySelector('#rules button').click()")
    window.until("document.querySelectorAll('#tried li').length === 2")
    text = window.run("document.getElementById('tried').innerText")
    assert "lines gets it" in text
    assert "mr-only does not get it" in text
    assert "Modality" in text
    assert working.lines() == before


def chosen_files(browser: Browser, selector: str, *files: Path) -> None:
    document = browser.command("DOM.getDocument")["root"]["nodeId"]
    field = browser.command("DOM.querySelector", nodeId=document, selector=selector)["nodeId"]
    browser.command("DOM.setFileInputFiles", nodeId=field, files=[str(one) for one in files])


def test_a_result_is_sent_and_what_does_not_fit_is_said(
    window: Browser, working: Working, tmp_path: Path
) -> None:
    found = (working.node.root / "nifti").rglob("*Knee.nii.gz")
    (volume,) = (one for one in found if ".staging" not in one.parts)
    image = nibabel.load(volume)
    mask = np.zeros(image.shape, np.int16)
    mask[3:6, 3:6, 1:3] = 1
    nibabel.save(nibabel.Nifti1Image(mask, image.affine), tmp_path / "mask.nii.gz")
    nibabel.save(nibabel.Nifti1Image(mask[:-1], image.affine), tmp_path / "other.nii.gz")
    listed(window, working)
    series_page(window, "Knee")
    window.until("!document.getElementById('result').hidden")
    window.until("document.querySelector('[name=send]').options.length === 2")
    window.run("document.querySelector('[name=send]').value = 'pacs'")
    for name, said in (("other.nii.gz", "grid-mismatch"), ("mask.nii.gz", "1 instance")):
        chosen_files(window, "#resultform [name=image]", tmp_path / name)
        window.run("document.querySelector('#resultform button').click()")
        window.until(f"document.getElementById('resultsaid').textContent.includes('{said}')")
    window.until("document.getElementById('delivered').textContent.includes('pacs result')")
    window.open(f"{working.address}/deliveries?event=result")
    window.until("document.querySelectorAll('#deliveries tbody tr').length === 1")
    window.until("document.querySelector('#deliveries .why')?.textContent.includes('reached')")


def test_a_job_is_ordered_and_cancelled(window: Browser, working: Working) -> None:
    window.open(f"{working.address}/pulls")
    window.until("document.getElementById('order')?.hidden === false")
    window.run("document.querySelector('#orderform [name=PatientID]').value = 'ID-1'")
    window.run("document.querySelector('#orderform [name=name]').value = 'one-patient'")
    window.run("document.querySelector('#orderform button').click()")
    window.until("document.getElementById('jobs').textContent.includes('one-patient')")
    window.run("document.querySelector('#jobs summary').click()")
    window.until("document.querySelector('#jobs table')?.textContent.includes('PatientID=ID-1')")
    window.run("document.querySelector('#jobs [aria-label=\"Cancel: one-patient\"]')?.click()")
    window.until("/cancelled|failed/.test(document.querySelector('#jobs .state').textContent)", 120)
    assert "ID-1" not in window.run("location.href")


def test_an_administrator_adds_a_user_and_sees_settings_and_log(
    working: Working, tmp_path: Path
) -> None:
    with Browser(tmp_path / "profile") as admin:
        admin.open(f"{working.address}/admin")
        admin.until("location.pathname === '/login' && document.readyState === 'complete'")
        log_in(admin, PASSWORD, "anna")
        admin.until("location.pathname === '/admin'")
        admin.until("document.querySelectorAll('#userlist tbody tr').length === 2")
        for name, text in (("name", "vera"), ("password", PASSWORD)):
            admin.run(f"document.querySelector('#adduser [name={name}]').value = '{text}'")
        admin.run("document.querySelector('#adduser button').click()")
        admin.until("document.querySelectorAll('#userlist tbody tr').length === 3")
        admin.run("document.querySelector('#maketoken [name=name]').value = 'tool'")
        admin.run("document.querySelector('#maketoken button').click()")
        admin.until("document.getElementById('token').textContent.startsWith('rasnode_')")
        admin.run("confirm = () => true")
        admin.until("!!document.querySelector('[aria-label=\"Remove tool\"]')")
        admin.run("document.querySelector('[aria-label=\"Remove tool\"]').click()")
        admin.until("!document.querySelector('[aria-label=\"Remove tool\"]')")
        admin.run("document.querySelector('#chips a[href=\"#settings\"]').click()")
        admin.until("document.getElementById('settinglist').textContent.includes('ae_title')")
        admin.run("document.querySelector('#chips a[href=\"#log\"]').click()")
        admin.until(
            "document.getElementById('records').textContent.includes('added the user vera')"
        )
        admin.until("document.getElementById('records').textContent.includes('associat')")
        assert PASSWORD not in admin.run("document.body.textContent")
        assert admin.errors == []


def test_an_operator_gets_no_page_of_administrators(window: Browser, working: Working) -> None:
    listed(window, working)
    assert "Administration" not in window.run("document.querySelector('.pages').textContent")
    window.open(f"{working.address}/admin")
    window.until("document.querySelector('h1')?.textContent === 'Forbidden'")


def test_files_are_uploaded(window: Browser, working: Working, tmp_path: Path) -> None:
    listed(window, working)
    files = small_ct(tmp_path / "more", 5, announced=True, description="Foot")
    (tmp_path / "notes.txt").write_text("no DICOM")
    chosen_files(window, "#pick", *files, tmp_path / "notes.txt")
    window.until("document.getElementById('progress').textContent.includes('5 instances are safe')")
    assert "notes.txt" in window.run("document.getElementById('progress').textContent")
    window.until(f"{ROWS} === 3")
    assert len(working.node.instances()) == 13


@pytest.mark.parametrize("path", ["/deliveries", "/pulls"])
def test_queues_fit_on_a_phone(working: Working, window: Browser, path: str) -> None:
    window.resize((390, 800), touch=True)
    try:
        window.open(f"{working.address}{path}")
        window.until("!!document.querySelector('#deliveries tbody tr, #jobs section')")
        window.until("document.documentElement.scrollWidth <= innerWidth")
    finally:
        window.resize((1300, 1000))


def test_a_phone_shows_the_states(working: Working, window: Browser) -> None:
    listed(window, working)
    window.resize((390, 800), touch=True)
    try:
        window.until("document.documentElement.scrollWidth <= innerWidth")
        box = window.run(
            "(() => { const one = document.querySelector('#studies .statecell .state')"
            ".getBoundingClientRect(); return [one.left, one.right]; })()"
        )
        assert 0 <= box[0] < box[1] <= 390
    finally:
        window.resize((1300, 1000))


def test_who_logs_out_sees_nothing_more(working: Working, tmp_path: Path) -> None:
    with Browser(tmp_path / "profile") as other:
        other.open(f"{working.address}/")
        other.until("location.pathname === '/login' && document.readyState === 'complete'")
        log_in(other, PASSWORD)
        other.until(f"location.pathname === '/' && {ROWS} >= 2")
        other.run("document.querySelector('form.account').requestSubmit()")
        other.until("location.pathname === '/login'")
        other.open(f"{working.address}/")
        other.until("location.pathname === '/login'")
