"""The report in a real browser: what it shows is what the run's files say, and it can be used by anyone."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from snipmill.engine.lineage import trace
from snipmill.store.run_directory import RunDirectory
from tests.conftest import read_lines
from tests.reporting.conftest import PHONE, Open, Theme, report_of


@pytest.fixture(scope="module")
def page_file(looked_at: RunDirectory, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report_of(looked_at, out=tmp_path_factory.mktemp("report") / "report.html")


def titles(page: Page) -> list[str]:
    return [str(title) for title in page.locator("#list .title").all_text_contents()]


def rows_of(run: RunDirectory) -> list[dict[str, Any]]:
    return read_lines(run.dataset)


def test_the_top_and_the_funnel_say_what_the_manifest_says(
    looked_at: RunDirectory, page_file: Path, open_page: Open
) -> None:
    page = open_page(page_file)
    manifest = looked_at.read_manifest()
    tiles = page.eval_on_selector_all(".tile", "nodes => nodes.map(node => node.innerText)")
    rows, wrong = manifest["funnel"]["select"]["kept"], manifest["expected_wrong"]
    assert tiles[0].startswith(f"{rows}\nrows")
    assert f"90% interval {wrong['low']} to {wrong['high']}" in tiles[1]
    assert tiles[2].startswith("24\nseeds")
    for stage, count in manifest["funnel"].items():
        step = page.locator(".step", has=page.locator(f".stage b:text-is('{stage}')"))
        assert f"{count['in']:,} in, {count['kept']:,} kept" in step.inner_text()
        for reason, number in count["rejected"].items():
            assert step.locator("summary", has_text=re.compile(rf"^{reason} {number}$")).count() == 1


def test_a_reason_opens_what_was_dropped_with_the_place_marked(page_file: Path, open_page: Open) -> None:
    page = open_page(page_file)
    failed = (
        page.locator(".step", has=page.locator(".stage b:text-is('execute')"))
        .locator("details", has_text="failed")
        .first
    )
    failed.locator("summary").click()
    example = failed.locator(".example").first
    assert example.is_visible() and "[Implementation]" in example.inner_text()
    marked = example.locator("mark").all_inner_texts()
    assert any(text.startswith("assert ") for text in marked)


def test_rows_are_searched_filtered_and_sorted(looked_at: RunDirectory, page_file: Path, open_page: Open) -> None:
    page, rows = open_page(page_file), rows_of(looked_at)
    assert titles(page) == [row["instruction"] for row in rows]
    word = re.findall(r"variant (\d+)", rows[0]["instruction"])[0]
    page.fill("#search", word)
    wanted = [
        row["instruction"]
        for row in rows
        if word in f"{row['instruction']} {row['concepts']} {row['provenance']['path']}:1 {row['id']}"
    ]
    expect(page.locator("#list li")).to_have_count(len(wanted))
    assert len(wanted) < len(rows) and titles(page) == wanted
    page.fill("#search", "")
    expect(page.locator("#list li")).to_have_count(len(rows))
    page.click("#filters summary")
    page.select_option("#fields [data-label=license]", "MIT")
    mit = [row for row in rows if row["provenance"]["license"] == "MIT"]
    assert titles(page) == [row["instruction"] for row in mit]
    middle = sorted(row["verification"]["confidence"] for row in mit)[len(mit) // 2]
    page.locator("#fields [data-number=confidence] input").first.fill(str(middle))
    page.keyboard.press("Enter")
    assert titles(page) == [row["instruction"] for row in mit if row["verification"]["confidence"] >= middle]
    assert page.locator("#active button").count() == 3  # two filters, and one to clear both
    page.click("#active button:last-child")
    page.select_option("#sort", "confidence")
    page.click("#direction")
    shown = [float(text) for text in page.locator("#list .numbers b").all_inner_texts()]
    assert len(shown) == len(rows) and shown == sorted(shown, reverse=True)


def test_a_bar_that_is_pressed_shows_its_rows(looked_at: RunDirectory, page_file: Path, open_page: Open) -> None:
    page = open_page(page_file)
    bar = page.locator(".chart[data-name=source] button").first
    told = int(bar.locator(".count").inner_text())
    bar.click()
    source = bar.get_attribute("data-value")
    wanted = [row["instruction"] for row in rows_of(looked_at) if row["provenance"]["source"] == source]
    assert titles(page) == wanted and told == len(wanted)
    page.click("#active button")
    for column in page.locator(".chart[data-name=instruction_length] .column:not([tabindex])").all():
        column.dispatch_event("click")
        counted = int(re.search(r": ([\d,]+) rows", column.get_attribute("aria-label") or "")[1])  # type: ignore[index]
        assert page.locator("#list li").count() == counted


def test_a_row_opens_with_its_whole_way(looked_at: RunDirectory, page_file: Path, open_page: Open) -> None:
    page, rows = open_page(page_file), rows_of(looked_at)
    page.locator("#list button").first.click()
    page.wait_for_selector("dialog[open]")
    dialog = page.locator("dialog[open]")
    row = rows[0]
    assert dialog.locator("p.text").first.inner_text() == row["instruction"]
    assert row["seed"].strip() in dialog.inner_text()
    assert f"licence {row['provenance']['license']}" in dialog.inner_text()
    assert dialog.locator(".sample").count() == 6  # the samples that could not be read are there, too
    read = {
        one["sample"]: one["response"]
        for one in read_lines(looked_at.kept("responses"))
        if one["parents"] == row["parents"]
    }
    assert 0 < len(read) < 6
    for place, shown in enumerate(dialog.locator(".sample").all()):
        assert shown.locator("b").inner_text() == f"Sample {place}"
        assert (shown.locator(".status").inner_text() in ("passed", "failed")) == (place in read)
        assert place not in read or shown.locator(".code").first.text_content() == read[place]
    assert dialog.locator(".sample.chosen").count() == 1
    assert dialog.locator(".code .k").count() > 0  # highlighted


def test_the_matrix_is_that_of_the_journal(looked_at: RunDirectory, page_file: Path, open_page: Open) -> None:
    page, row = open_page(page_file), rows_of(looked_at)[0]
    samples = {one["id"] for one in read_lines(looked_at.kept("responses")) if one["parents"] == row["parents"]}
    entries = read_lines(looked_at.journal("verify"))
    examination = next(one["examination"] for one in entries if one.get("response") in samples and "examination" in one)
    page.locator("#list button").first.click()
    page.wait_for_selector("dialog[open]")
    lines = page.locator(".matrix tbody tr").all()
    assert [line.locator("th").inner_text() for line in lines] == examination["assertions"]
    signs = {"✓": "+", "✗": "-", "!": "!", "·": "."}
    shown = ["".join(signs[cell] for cell in line.locator("td").all_inner_texts()) for line in lines]
    assert ["".join(column) for column in zip(*shown, strict=True)] == examination["outcomes"]
    assert "+" in "".join(shown) and "-" in "".join(shown)


def test_prompts_are_those_that_were_sent(looked_at: RunDirectory, page_file: Path, open_page: Open) -> None:
    page, row = open_page(page_file), rows_of(looked_at)[0]
    page.locator("#list button").first.click()
    page.wait_for_selector("dialog[open]")
    sent = {one.stage: one.prompt for one in trace(looked_at, row["id"]) if one.prompt is not None}
    for stage in ("concepts", "instructions", "responses"):
        folded = page.locator("dialog details", has=page.locator(f"summary:text-is('Prompt of {stage}')")).first
        beginning, question = folded.evaluate("node => [...node.querySelectorAll('pre')].map(one => one.textContent)")
        assert f"{beginning}\n{question}\n" == sent[stage]


def test_the_keyboard_is_enough(page_file: Path, open_page: Open) -> None:
    page = open_page(page_file)
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    page.locator("#list button").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open]")
    shown = page.locator("dialog .dialog-top code")
    first = shown.inner_text()
    assert page.url.endswith(f"#row={first}")
    page.keyboard.press("ArrowRight")
    expect(shown).not_to_have_text(first)
    page.keyboard.press("ArrowLeft")
    expect(shown).to_have_text(first)
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0
    assert page.evaluate("document.activeElement.dataset.row") == "0"
    page.locator(".chart[data-name=source] button").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("#active button").count() == 1


def test_a_link_opens_its_row(looked_at: RunDirectory, page_file: Path, open_page: Open) -> None:
    last = rows_of(looked_at)[-1]["id"]
    page = open_page(page_file)
    page.evaluate(f"location.hash = '#row={last}'")
    page.reload()
    page.wait_for_selector("dialog[open]")
    assert page.locator("dialog .dialog-top code").inner_text() == last


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_phone_is_wide_enough_in_both_themes(page_file: Path, open_page: Open, theme: Theme) -> None:
    page = open_page(page_file, size=PHONE, theme=theme)
    for details in page.locator(".drops details").all()[:4]:
        details.locator("summary").click()
    page.click("#filters summary")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background)[:3])) > 380) == (theme == "light")
    page.locator("#list button").first.click()
    page.wait_for_selector("dialog[open]")
    page.wait_for_selector("dialog[open]")
    assert page.evaluate("document.querySelector('dialog').scrollWidth <= document.querySelector('dialog').clientWidth")
    page.keyboard.press("Escape")
    page.click("#theme")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != background


HOSTILE = (
    "</script><script>window.broken = 1</script><img src=x onerror='window.broken = 2'> \x1b[31mred\x1b[0m \u202eevil\u202c "
    "{{ 7 * 7 }} {% raw %} `a` &amp; \u0000 \ud800 <!-- "
)


def test_hostile_text_is_shown_as_text(looked_at: RunDirectory, tmp_path: Path, open_page: Open) -> None:
    hostile = RunDirectory(tmp_path / "run")
    hostile.path.mkdir()
    for path in looked_at.path.rglob("*"):
        target = hostile.path / path.relative_to(looked_at.path)
        if path.is_dir():
            target.mkdir(exist_ok=True)
        else:
            target.write_bytes(path.read_bytes())
    for file in (
        hostile.dataset,
        *map(hostile.kept, ("instructions", "responses", "verify", "execute", "concepts", "seeds")),
    ):
        lines = read_lines(file)
        for line in lines:
            line["seed"] = f"{line['seed']}# {HOSTILE}\n"
            line["provenance"].update(source=f"javascript:{HOSTILE}", path=HOSTILE, license=HOSTILE)
            line.update({key: [HOSTILE] for key in ("concepts",) if key in line})
            line.update({key: HOSTILE + line[key] + "x" * 1_000_000 for key in ("instruction",) if key in line})
            line.update({key: HOSTILE + line[key] for key in ("response", "category", "difficulty") if key in line})
        text = "".join(json.dumps(line) + "\n" for line in lines)
        file.write_text(text.replace("\\ud800", "?"))
    manifest = hostile.read_manifest()
    hostile.write_manifest(
        {**manifest, "model": HOSTILE.replace("\ud800", "?"), "left_out": [HOSTILE.replace("\ud800", "?")]}
    )
    page_file = report_of(hostile, out=tmp_path / "report.html", most_details=3)
    assert page_file.stat().st_size < 3_000_000  # texts of a megabyte are cut
    page = open_page(page_file)
    assert "<img src=x onerror=" in page.locator(".lead").inner_text()
    for button in page.locator("#list button").all()[:8]:
        button.click()
        page.wait_for_selector("dialog[open]")
        assert "<script>window.broken = 1" in page.locator("dialog[open]").inner_text()
        page.keyboard.press("Escape")
    whole = page.evaluate("document.documentElement.outerHTML")
    assert "\u202e" not in whole and "\x1b" not in whole and "⟨U+202E⟩" in whole and "␛" in whole
    assert page.evaluate("window.broken") is None
    assert page.locator("a[href^='javascript']").count() == 0
    assert page.locator("img").count() == 0


def test_bars_of_all_rows_work_where_few_are_listed(looked_at: RunDirectory, tmp_path: Path, open_page: Open) -> None:
    page = open_page(report_of(looked_at, out=tmp_path / "report.html", most_rows=1))
    for bar in page.locator(".chart[data-name] button:not([tabindex])").all():
        bar.dispatch_event("click")
        assert page.locator("#list li").count() <= 1
        page.locator("#active button").last.dispatch_event("click")
    none = open_page(report_of(looked_at, out=tmp_path / "none.html", most_rows=0))
    none.locator(".chart[data-name=confidence] .column:not([tabindex])").first.click()
    none.fill("#search", "x")
    expect(none.locator("#list")).to_have_text("No row matches.")


def test_links_that_are_damaged_or_changed_do_no_harm(
    looked_at: RunDirectory, page_file: Path, open_page: Open
) -> None:
    page = open_page(page_file)
    page.evaluate("location.hash = '#%'")
    page.reload()
    page.wait_for_selector("html[data-ready]")
    last = rows_of(looked_at)[-1]["id"]
    page.evaluate(f"location.hash = '#row={last}'")  # in an open page
    expect(page.locator("dialog[open] .dialog-top code")).to_have_text(last)
    page.keyboard.press("Alt+ArrowRight")
    page.keyboard.press("Escape")
    page.evaluate("location.hash = '#row=nobody'")
    expect(page.locator("#page")).to_contain_text("nobody is not listed")


def test_an_open_row_is_printed_alone_and_dark_pages_are_printed_light(page_file: Path, open_page: Open) -> None:
    page = open_page(page_file, theme="dark")
    page.emulate_media(media="print")
    ink, paper = (page.evaluate(f"getComputedStyle(document.body).{name}") for name in ("color", "backgroundColor"))
    assert (ink, paper) == ("rgb(0, 0, 0)", "rgb(255, 255, 255)")
    page.emulate_media(media="screen")
    page.locator("#list button").first.click()
    page.wait_for_selector("dialog[open]")
    page.emulate_media(media="print")
    assert not page.locator("#funnel").is_visible() and page.locator("dialog .sample").first.is_visible()


def test_of_many_rows_a_sample_is_listed_and_the_page_says_so(
    looked_at: RunDirectory, tmp_path: Path, open_page: Open
) -> None:
    rows = len(rows_of(looked_at))
    page_file = report_of(looked_at, out=tmp_path / "report.html", most_rows=6, most_details=2)
    page = open_page(page_file)
    assert page.locator("#list li").count() == 6
    said = page.locator("#rows > .note").first.inner_text()
    assert said.startswith(f"6 of {rows} rows, drawn at random, are listed; 2 of them")
    opened = 0
    for button in page.locator("#list button").all():
        button.click()
        page.wait_for_selector("dialog[open]")
        opened += page.locator("dialog .sample").count() > 0
        page.keyboard.press("Escape")
    assert opened == 2


def test_two_runs_beside_each_other(
    looked_at: RunDirectory, finished: RunDirectory, tmp_path: Path, open_page: Open
) -> None:
    page = open_page(report_of(finished, looked_at, out=tmp_path / "comparison.html"), waits=False)
    mine, theirs = ({row["instruction"] for row in rows_of(run)} for run in (finished, looked_at))
    text = page.locator("main").inner_text()
    assert f"{len(mine & theirs)} instructions are in both" in text
    assert f"Only in run: {len(theirs - mine)}" in text
    cells = page.locator("#figures tr", has=page.locator("th:text-is('rows')")).locator("td").all_inner_texts()
    assert cells[:2] == [str(len(mine)), str(len(theirs))]
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
