"""A real Chromium, and a finished run to look at."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, TypeVar

import pytest
from playwright.sync_api import Browser, Dialog, Page, Request, ViewportSize, sync_playwright

from snipmill.reporting.write import Written, write_report
from snipmill.store.run_directory import RunDirectory
from tests.publish.conftest import make_run, seeds_with_origins, sometimes_wrong
from tests.standin import StandIn

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DESKTOP, PHONE = ViewportSize(width=1280, height=900), ViewportSize(width=390, height=844)
Theme = Literal["light", "dark"]
T = TypeVar("T")


def apart(work: Callable[..., T], *args: Any, **named: Any) -> T:
    """The result of some work in a thread of its own: Playwright's loop runs in this one while a browser is open."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work, *args, **named).result()


def run_of_seeds(folder: Path, name: str, seeds: int) -> RunDirectory:
    """A run in which half of the answers are wrong, and some cannot be read."""
    with StandIn() as model:
        model.dress_base = sometimes_wrong
        return apart(make_run, folder / name, seeds_with_origins(folder / "seeds.jsonl", seeds), model.url)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A run of 12 seeds, which `looked_at` has, too."""
    return run_of_seeds(tmp_path_factory.mktemp("finished"), "first", 12)


@pytest.fixture(scope="session")
def looked_at(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A run of 24 seeds."""
    return run_of_seeds(tmp_path_factory.mktemp("looked-at"), "run", 24)


def report_of(*runs: RunDirectory, out: Path, **limits: Any) -> Path:
    """The report of a run, or the comparison of two."""
    written: Written = apart(asyncio.run, write_report([run.path for run in runs], out, **limits))
    return written.path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("No Chromium is installed; .ci/run installs Debian's.")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield chromium
        chromium.close()


class Opened:
    """What pages said and fetched."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def watch(self, page: Page) -> None:
        page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("dialog", self.refuse)
        page.on("request", self.look_at)

    def refuse(self, dialog: Dialog) -> None:
        self.said.append(dialog.message)
        dialog.dismiss()

    def look_at(self, request: Request) -> None:
        if not request.url.startswith(("file:", "data:")):
            self.said.append(f"fetched {request.url}")


Open = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Opens a file; at the end, nothing was written to the console and nothing was fetched."""
    watched, contexts = Opened(), []

    def opened(path: Path, *, size: ViewportSize = DESKTOP, theme: Theme = "light", waits: bool = True) -> Page:
        context = browser.new_context(viewport=size, color_scheme=theme)
        contexts.append(context)
        page = context.new_page()
        watched.watch(page)
        page.goto(path.resolve().as_uri())
        if waits:
            page.wait_for_selector("html[data-ready]")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert watched.said == []
