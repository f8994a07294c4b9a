"""What people do on the page, in a real browser: log in, find, assemble again, upload, deliver."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

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
    deliver = [{"name": "lines", "events": ["ready"], "command": {"run": write}}]
    node.config.write_text(node.config.read_text() + yaml.safe_dump({"deliver": deliver}))
    for name in ("Head", "Knee"):
        small_ct(folder / name, 4, announced=True, description=name)
    try:
        added = rasnode(node, "user", "add", "otto", "--role", "operator", typed=PASSWORD)
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


def log_in(browser: Browser, password: str) -> None:
    for name, text in (("name", "otto"), ("password", password)):
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


def test_files_are_uploaded(window: Browser, working: Working, tmp_path: Path) -> None:
    listed(window, working)
    files = [str(one) for one in small_ct(tmp_path / "more", 5, announced=True, description="Foot")]
    (tmp_path / "notes.txt").write_text("no DICOM")
    document = window.command("DOM.getDocument")["root"]["nodeId"]
    field = window.command("DOM.querySelector", nodeId=document, selector="#pick")["nodeId"]
    window.command(
        "DOM.setFileInputFiles", nodeId=field, files=[*files, str(tmp_path / "notes.txt")]
    )
    window.until("document.getElementById('progress').textContent.includes('5 instances are safe')")
    assert "notes.txt" in window.run("document.getElementById('progress').textContent")
    window.until(f"{ROWS} === 3")
    assert len(working.node.instances()) == 13


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
