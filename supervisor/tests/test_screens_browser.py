"""The screens in a real browser on a running town: what an operator does, with the keyboard alone."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect
from pymodbus.client import ModbusTcpClient

from ..hmi import catalogue
from .running_town import HOUSES, PASSWORDS, RunningTown, until

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PAGES = (
    "/",
    "/?select=plant",
    "/table",
    "/alarms",
    "/trend",
    "/coordinator",
    "/substation/house-01",
    "/substation/house-03",
    "/substation/plant",
)
WITHIN_MS = 30_000
SHIFT_ROW = 3  # the fourth setpoint of a house: shift of the curve

# Every visible text with the colours it is drawn in, as WCAG 2.2 measures them.
POOR_CONTRAST = """() => {
  const linear = (c) => { c /= 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
  const parse = (text) => {
    const numbers = text.match(/[\\d.]+/g).map(Number);
    return numbers.length < 4 ? [...numbers, 1] : numbers;
  };
  const light = (c) => 0.2126 * linear(c[0]) + 0.7152 * linear(c[1]) + 0.0722 * linear(c[2]);
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = parse(getComputedStyle(e).backgroundColor);
      if (colour[3] === 1) return colour;
    }
    return [255, 255, 255, 1];
  };
  const poor = [];
  let seen = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.textContent.trim();
    if (!text || !element.checkVisibility() || element.closest('script, svg, noscript, option')) continue;
    seen++;
    const a = light(parse(getComputedStyle(element).color)), b = light(ground(element));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push([text.slice(0, 40), element.className, ratio.toFixed(2)]);
  }
  return { seen, poor };
}"""


# What is cut off or pushed out of the window: of the top bar, of the readings, of the orders.
CUT_OFF = """() => {
  const cut = [];
  const wanted = '#topbar > *, #topbar button, #topbar a, .indicator .value, #orders td, .mode-row *, #hints';
  for (const element of document.querySelectorAll(wanted)) {
    if (!element.checkVisibility()) continue;
    const box = element.getBoundingClientRect();
    const frame = element.closest('#topbar, .panel, #hints').getBoundingClientRect();
    if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.right > innerWidth + 1)
      cut.push([element.textContent.trim().slice(0, 30), 'across', Math.round(box.right), innerWidth]);
    if (element.closest('#topbar') && (box.top < -1 || box.bottom > frame.bottom + 1))
      cut.push([element.textContent.trim().slice(0, 30), 'down', Math.round(box.bottom)]);
  }
  // a title or a state that does not fit its cell or its row
  const cells = '.grid .head .cell, .grid .row .cell, .steps li, #readings .name';
  for (const cell of innerWidth < 1200 ? [] : document.querySelectorAll(cells)) {
    if (!cell.checkVisibility()) continue;
    const row = cell.closest('.head, .row, .steps, .indicator');
    if (cell.scrollWidth > cell.clientWidth + 1 || cell.scrollHeight > row.clientHeight + 1)
      cut.push([cell.textContent.trim().slice(0, 30), 'cell', cell.scrollWidth, cell.clientWidth]);
  }
  // a panel drawn over what stands below it
  const floor = document.querySelector('main').getBoundingClientRect().bottom;
  for (const column of document.querySelectorAll('.columns > .stack')) {
    const scrolls = getComputedStyle(column).overflowY === 'auto';
    let above = 0;
    for (const panel of column.children) {
      const box = panel.getBoundingClientRect();
      if (box.height < 1) continue;
      const clipped = getComputedStyle(panel).overflowY !== 'visible';
      const spilled = clipped ? 0 : panel.scrollHeight - panel.clientHeight;
      if (spilled > 1 || box.top < above - 1 || (!scrolls && box.bottom > floor + 1))
        cut.push([panel.textContent.trim().slice(0, 30), 'panel', spilled, Math.round(box.bottom)]);
      above = box.bottom;
    }
  }
  for (const value of document.querySelectorAll('#selected-values .value')) {
    const box = value.getBoundingClientRect();
    const frame = document.querySelector('main').getBoundingClientRect();
    if (box.bottom > frame.bottom + 1) cut.push(['selected house', 'down', Math.round(box.bottom)]);
  }
  return cut;
}"""
SMALL_SCREENS = ((1440, 900), (1366, 768), (1280, 720), (1024, 768))


class Desk:
    """One workplace: a browser with one person logged in, and what it complained about."""

    def __init__(self, context: BrowserContext, town: RunningTown) -> None:
        self.context = context
        self.town = town
        self.complaints: list[str] = []
        self.foreign: list[str] = []
        self.page = context.new_page()
        self.page.set_default_timeout(WITHIN_MS)
        expect.set_options(timeout=WITHIN_MS)
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self._asked(request.url))
        self.page.on("websocket", lambda socket: self._asked(socket.url))

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.text} {message.location.get('url', '')}")

    def _asked(self, url: str) -> None:
        host = self.town.base.split("//")[1]
        if not re.match(rf"(http|ws)://{re.escape(host)}/", url):
            self.foreign.append(url)

    def log_in(self, name: str, then: str = "/") -> Page:
        """Log in by the form, with the keyboard."""
        self.page.goto(self.town.base + then)
        self.page.wait_for_url("**/login?**")
        self.fill_login(name)
        self.page.wait_for_url(self.town.base + then)
        return self.page

    def fill_login(self, name: str) -> None:
        """Type name and password where the form has put the focus."""
        expect(self.page.locator("[name=name]")).to_be_focused()
        self.page.keyboard.type(name)
        self.page.keyboard.press("Tab")
        self.page.keyboard.type(PASSWORDS[name])
        self.page.keyboard.press("Enter")

    def go(self, path: str) -> Page:
        """Open a page and wait for its first live frame."""
        self.page.goto(self.town.base + path)
        self.live()
        return self.page

    def live(self) -> None:
        """Wait until the page shows a frame."""
        expect(self.page.locator("#clock-time")).to_have_text(re.compile(r"^\d\d:\d\d:\d\d$"))

    def press_until_focus(self, selector: str, key: str = "Tab") -> None:
        """Move the focus by key, as a person without a mouse does."""
        for _ in range(60):
            self.page.keyboard.press(key)
            if self.page.evaluate("s => document.activeElement?.matches(s)", selector):
                return
        raise AssertionError(f"{key} never reached {selector}")


@pytest.fixture
def workplace(town: RunningTown, chromium: Browser) -> Iterator[Callable[..., Desk]]:
    contexts: list[BrowserContext] = []

    def open_desk(locale: str = "sl-SI", **options: Any) -> Desk:
        context = chromium.new_context(
            viewport={"width": 1920, "height": 1080}, locale=locale, timezone_id="UTC", **options
        )
        contexts.append(context)
        return Desk(context, town)

    yield open_desk
    for context in contexts:
        context.close()


def attack(town: RunningTown, house: str) -> None:
    """Write a setpoint the way any Modbus client on the net could; the controller refuses and counts it."""
    site = tomllib.loads((town.folder / "site.toml").read_text())
    host, port = next(row for row in site["substation"] if row["id"] == house)["address"].split(":")
    client = ModbusTcpClient(host, port=int(port))
    assert client.connect()
    assert client.write_register(100, 4500).isError()
    client.close()


def test_the_keyboard_alone_leads_from_an_alarm_to_a_verified_order(
    workplace: Callable[..., Desk], town: RunningTown
) -> None:
    desk = workplace()
    page = desk.log_in("marta")
    desk.live()
    attack(town, "house-01")
    expect(page.locator("#newest-alarm")).to_contain_text("Hiša 1")
    page.keyboard.press("a")
    page.wait_for_url("**/alarms")
    expect(page.locator("#alarm-list tr[aria-selected=true]")).to_contain_text("Hiša 1")
    expect(page.locator("#alarm-list tr[aria-selected=true] svg.p1")).to_be_visible()
    page.keyboard.press("k")
    expect(page.locator("#alarm-list tr[aria-selected=true]")).to_contain_text("potrjen")
    page.keyboard.press("Enter")
    page.wait_for_url("**/substation/house-01")
    desk.live()
    for _ in range(SHIFT_ROW):
        page.keyboard.press("ArrowDown")
    row = page.locator("[data-point=curve_shift_sp_k]")
    expect(row).to_have_attribute("aria-selected", "true")
    expect(row.locator(".value.good")).to_be_visible()
    page.keyboard.press("Enter")
    page.keyboard.type("-0,5")
    page.keyboard.press("Enter")
    button = page.locator("#execute")
    expect(button).to_have_text("Izvrši · house-01: 0,0 → −0,5 K za 30 min")
    page.keyboard.press("Enter")  # the preview has the focus, not the button: nothing may happen
    expect(button).to_be_visible()
    desk.press_until_focus("#execute")
    page.keyboard.press("Enter")
    panel = page.locator("#order-panel")
    expect(panel).to_have_attribute("data-state", "effective", timeout=120_000)
    expect(page.locator("#orders tr[data-ordered=curve_shift_sp_k]").first).to_contain_text("učinkuje")
    expect(row).to_contain_text("ukazuje marta")
    page.keyboard.press("r")  # one key gives the point back
    expect(panel).to_have_attribute("data-state", "released", timeout=120_000)
    expect(page.locator("#device-clock[data-state=right]")).to_contain_text("prava")
    # the device's own log is read when somebody asks, and knows of both
    page.locator("#log-panel summary").click()
    expect(page.locator("#log tr")).to_have_count(0)
    page.locator("#read-log").click()
    expect(page.locator("#log-verdict[data-whole=true]")).to_contain_text("zapečatila ta naprava")
    expect(page.locator("#log tr[data-kind=order]").first).to_contain_text("krivulje = -0,5 K")
    expect(page.locator("#log tr[data-kind=boot]").first).to_contain_text("zagon 1")
    assert desk.complaints == []


def test_an_impossible_value_is_refused_in_words_and_nothing_is_sent(
    workplace: Callable[..., Desk], town: RunningTown
) -> None:
    desk = workplace()
    page = desk.log_in("marta", "/substation/house-02")
    desk.live()
    expect(page.locator("[data-point=secondary_supply_temp_sp_c] .value.good")).to_be_visible()
    for typed, code in (("warm", "not_a_number"), ("88,5", "beyond_limits")):
        page.keyboard.press("Enter")
        page.locator("#value").fill(typed)
        page.keyboard.press("Enter")
        problem = page.locator("#command .problem")
        expect(problem).to_contain_text(code)
        expect(problem).to_contain_text("nič ni bilo spremenjeno")
        page.keyboard.press("Escape")
    with town.client("vesna") as client:
        orders = client.get("/api/v1/orders?substation=house-02").json()["orders"]
        assert [order for order in orders if order["user"] == "marta"] == []  # its clock may have been set


def test_when_ticks_stop_the_whole_screen_says_so(workplace: Callable[..., Desk], town: RunningTown) -> None:
    desk = workplace()
    page = desk.log_in("vesna")
    desk.live()
    expect(page.locator("#stopped")).to_be_hidden()
    town.freeze()
    try:
        expect(page.locator("#stopped")).to_be_visible()
        expect(page.locator("#stopped-title")).to_contain_text("Prikaz stoji")
        assert "grayscale" in page.evaluate("getComputedStyle(document.querySelector('main')).filter")
    finally:
        town.thaw()
    expect(page.locator("#stopped")).to_be_hidden()
    assert page.evaluate("document.body.classList.contains('stopped')") is False


def test_a_session_that_ends_leads_to_the_login_and_back(
    workplace: Callable[..., Desk], town: RunningTown
) -> None:
    desk = workplace()
    page = desk.log_in("vesna", "/substation/house-02")
    desk.live()
    token = next(c["value"] for c in desk.context.cookies() if c["name"] == "toplovod_session")
    with town.client() as elsewhere:  # the same session, ended from somewhere else
        elsewhere.cookies["toplovod_session"] = token
        csrf = elsewhere.get("/api/v1/me").json()["csrf"]
        assert elsewhere.post("/api/v1/logout", headers={"X-Toplovod-CSRF": csrf}).status_code == 200
    page.wait_for_url("**/login?ended=1**")
    expect(page.locator("[role=status]")).to_contain_text("Seja se je končala")
    desk.fill_login("vesna")
    page.wait_for_url("**/substation/house-02")


def test_the_login_works_without_script_and_names_a_wrong_password(workplace: Callable[..., Desk]) -> None:
    desk = workplace(locale="en-GB", java_script_enabled=False)
    page = desk.page
    page.goto(desk.town.base + "/table")
    page.locator("[name=name]").fill("vesna")
    page.locator("[name=password]").fill("not the right one")
    page.locator("button.execute").click()
    problem = page.locator("#problem")
    expect(problem).to_have_attribute("data-code", "wrong_login")
    expect(problem).to_contain_text("Name or password is wrong")
    page.locator("[name=password]").fill(PASSWORDS["vesna"])
    page.locator("button.execute").click()
    page.wait_for_url("**/table")


def test_a_viewer_sees_everything_and_is_offered_no_command(workplace: Callable[..., Desk]) -> None:
    desk = workplace()
    page = desk.log_in("vesna", "/substation/house-01")
    desk.live()
    expect(page.locator("#command")).to_contain_text("Samo ogled")
    page.keyboard.press("Enter")
    page.keyboard.press("r")
    expect(page.locator("#command button")).to_have_count(0)
    page.locator("#log-panel summary").click()
    expect(page.locator("#read-log")).to_be_disabled()
    desk.go("/coordinator")
    expect(page.locator("#modes button[disabled]")).to_have_count(6)


def test_a_second_person_approves_what_moves_the_whole_town(workplace: Callable[..., Desk]) -> None:
    first, second = workplace(), workplace(locale="en-GB")
    page = first.log_in("marta", "/substation/plant")
    first.live()
    effective = page.locator("[data-point=plant_dp_sp_bar] .value.good .digits")
    expect(effective).to_be_visible()
    wanted = f"{float(effective.inner_text().replace(',', '.')) + 0.03:.2f}"
    page.keyboard.press("Enter")
    page.keyboard.type(wanted)
    page.keyboard.press("Enter")
    expect(page.locator("#execute")).to_be_disabled()
    other = second.log_in("bojan", "/substation/plant")
    second.live()
    expect(other.locator("#approve")).to_contain_text(f"→ {wanted} bar for 30 min")
    second.press_until_focus("#approve")
    other.keyboard.press("Enter")
    expect(other.locator("#order-panel")).to_have_attribute("data-state", "effective", timeout=120_000)
    expect(page.locator("#order-panel")).to_have_attribute("data-state", "effective")
    other.keyboard.press("r")
    expect(other.locator("#order-panel")).to_have_attribute("data-state", "released", timeout=120_000)


def test_who_asked_for_a_second_person_is_told_when_the_time_to_agree_is_over(
    workplace: Callable[..., Desk],
) -> None:
    desk = workplace(locale="en-GB")
    page = desk.log_in("marta", "/substation/plant")
    desk.live()

    page.route("**/api/v1/previews", lambda route: route.fulfill(json={"previews": []}))
    page.keyboard.press("Enter")
    page.keyboard.type("0.77")
    page.keyboard.press("Enter")
    expect(page.locator(".command .problem")).to_contain_text("nothing was sent")
    expect(page.locator("#preview-panel")).to_have_count(0)


@pytest.mark.parametrize("language", catalogue.LANGUAGES)
def test_every_page_can_be_read_by_day_and_by_night(workplace: Callable[..., Desk], language: str) -> None:
    desk = workplace(locale={"sl": "sl-SI", "en": "en-GB"}[language])
    page = desk.log_in("marta")
    for path in PAGES:
        desk.go(path)
        page.wait_for_timeout(600)  # lists come by a request of their own, after the first frame
        for palette in ("day", "night"):
            if page.evaluate("document.documentElement.dataset.palette") != palette:
                page.keyboard.press("n")
            found = page.evaluate(POOR_CONTRAST)
            assert found["seen"] > 20 and found["poor"] == [], (path, palette)
        text = page.locator("body").inner_text()
        assert not re.findall(r"\[[\w.]+\]|\{\w+\}|undefined|NaN", text), path
        assert page.evaluate("document.documentElement.scrollWidth") <= 1920, path
        mark = "," if language == "sl" else "."
        assert re.search(rf"\d\{mark}\d", text), path
    page.keyboard.press("?")
    expect(page.locator("dialog[open]")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("dialog[open]")).to_have_count(0)
    assert desk.complaints == [] and desk.foreign == []


@pytest.mark.parametrize("language", catalogue.LANGUAGES)
def test_nothing_is_cut_off_on_a_small_screen(workplace: Callable[..., Desk], language: str) -> None:
    desk = workplace(locale={"sl": "sl-SI", "en": "en-GB"}[language])
    page = desk.log_in("marta")
    for path in PAGES:
        desk.go(path)
        for width, height in SMALL_SCREENS:
            page.set_viewport_size({"width": width, "height": height})
            page.wait_for_function("() => document.fonts.status === 'loaded'")
            assert page.evaluate(CUT_OFF) == [], (path, width, height)
    desk.go("/substation/house-01")
    expect(page.locator("[data-point=secondary_supply_temp_sp_c] .value.good")).to_be_visible()
    page.keyboard.press("Enter")
    page.locator("#value").fill("50")
    page.keyboard.press("Enter")
    expect(page.locator("#preview-panel")).to_be_focused()
    for width, height in ((1920, 1080), (1280, 800)):
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate(CUT_OFF) == [], ("preview", width, height)
        expect(page.locator("#execute")).to_be_in_viewport(ratio=1)
    # narrower than the screens are made for: what is outside can be scrolled to
    page.set_viewport_size({"width": 800, "height": 900})
    page.mouse.wheel(2_000, 0)
    expect(page.locator("#topbar .who button")).to_be_in_viewport(ratio=1)
    assert desk.complaints == []


def test_the_source_of_refusals_never_looks_like_none_before_it_is_known(
    workplace: Callable[..., Desk], town: RunningTown
) -> None:
    """The alarm sends people there; the table is filled by a request of its own, at once."""
    desk = workplace()
    page = desk.log_in("vesna", "/substation/house-02")
    desk.live()
    attack(town, "house-02")
    source = page.locator("#diagnostics td.number").first
    page.route("**/api/v1/substations/house-02", lambda route: None)  # the answer is on its way
    page.reload()
    expect(source).to_have_text("…")
    page.unroute("**/api/v1/substations/house-02")
    expect(source).to_have_text("127.0.0.1")


def test_a_station_shows_what_it_has_besides_heating_and_nothing_that_it_has_not(
    workplace: Callable[..., Desk],
) -> None:
    desk = workplace(locale="en-GB")
    page = desk.log_in("vesna")
    desk.go("/substation/house-03")  # DHW by an exchanger and a second circuit, no tank
    rows = page.locator("#functions tr")
    hot_water = rows.and_(page.locator("[data-point=dhw_supply_temp_c]"))
    expect(hot_water).to_contain_text(re.compile(r"Hot water\s*\d\d\.\d °C"))
    expect(rows.and_(page.locator("[data-point=secondary2_supply_temp_c]"))).to_be_visible()
    expect(rows.and_(page.locator("[data-point=dhw_state_number]"))).to_contain_text(
        re.compile("at rest|heating|kept warm")
    )
    expect(rows.and_(page.locator("[data-point=dhw_tank_top_temp_c]"))).to_be_hidden()
    meters = page.locator("#meters")
    expect(meters.locator("th.number:visible")).to_have_text("Meter 1")
    expect(meters.locator("[data-quantity=supply_temp_c] td.value").first).to_contain_text(
        re.compile(r"\d\d\.\d °C")
    )
    expect(meters.locator("[data-quantity=number_code] td.value").first).to_contain_text(
        re.compile(r"^\d{5,}")
    )
    desk.go("/substation/house-01")
    expect(page.locator("#meters-panel")).to_be_hidden()
    expect(page.locator("#functions [data-point=valve_starts_day_count]")).to_be_visible()
    expect(page.locator("#functions [data-point=dhw_supply_temp_c]")).to_be_hidden()
    assert desk.complaints == [] and desk.foreign == []


def test_a_young_history_is_shown_over_the_span_that_it_fills(workplace: Callable[..., Desk]) -> None:
    desk = workplace()
    page = desk.log_in("vesna")
    desk.go("/trend")
    expect(page.locator("#spans button[data-hours='1']")).to_have_attribute("aria-pressed", "true")
    page.locator("#spans button[data-hours='24']").click()
    expect(page.locator("#spans button[data-hours='24']")).to_have_attribute("aria-pressed", "true")
    page.reload()  # the span that somebody has chosen stays
    desk.live()
    expect(page.locator("#spans button[data-hours='24']")).to_have_attribute("aria-pressed", "true")
    offered = page.locator("#pen-point option").evaluate_all("options => options.map(o => o.value)")
    assert "plant_dp_bar" in offered and "lead_pump_number" not in offered  # what history keeps, no more
    assert desk.complaints == []


def test_the_map_is_steered_by_arrows_and_yokes_the_faceplate(workplace: Callable[..., Desk]) -> None:
    desk = workplace()
    page = desk.log_in("vesna", "/")
    desk.live()
    page.evaluate("sessionStorage.setItem('toplovod.selected', 'plant')")
    desk.go("/")
    expect(page.locator("#selected-name")).to_have_text("Toplarna")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#selected-name")).to_have_text("Hiša 1")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#selected-name")).to_have_text("Hiša 2")
    page.keyboard.press("2")
    page.wait_for_url("**/table")
    expect(page.locator(".row.selected")).to_contain_text("Hiša 2")
    page.keyboard.press("Enter")
    page.wait_for_url("**/substation/house-02")


# The share of the map's frame, the greater of the two ways, that what is drawn reaches across.
FILLED = """() => {
  const canvas = document.querySelectorAll('#map-frame canvas')[1];
  const { width, height } = canvas;
  const { data } = canvas.getContext('2d').getImageData(0, 0, width, height);
  let [left, right, top, bottom] = [width, 0, height, 0];
  for (let at = 3, i = 0; at < data.length; at += 4, i++) {
    if (!data[at]) continue;
    const x = i % width, y = (i - x) / width;
    [left, right] = [Math.min(left, x), Math.max(right, x)];
    [top, bottom] = [Math.min(top, y), Math.max(bottom, y)];
  }
  return Math.max((right - left) / width, (bottom - top) / height);
}"""


def test_the_town_fills_the_map_again_when_the_window_grows(workplace: Callable[..., Desk]) -> None:
    desk = workplace()
    page = desk.log_in("vesna")
    page.set_viewport_size({"width": 1024, "height": 600})
    desk.go("/")
    page.wait_for_function(f"() => ({FILLED})() > 0.7")
    page.set_viewport_size({"width": 1920, "height": 1080})
    page.wait_for_function(f"() => ({FILLED})() > 0.7")


def test_a_house_that_falls_silent_never_looks_live(
    workplace: Callable[..., Desk], town: RunningTown
) -> None:
    """Runs last: the house stays away."""
    lost = f"house-{HOUSES:02d}"
    desk = workplace()
    page = desk.log_in("vesna", "/table")
    desk.live()
    row = page.locator(f".row[data-id={lost}]")
    expect(row.locator(".value.good").first).to_be_visible()
    town.lose(HOUSES)
    expect(row.locator(".value.lost").first).to_be_visible(timeout=60_000)
    expect(row.locator(".value.good")).to_have_count(0)
    expect(row).to_contain_text("ne odgovarja")
    expect(row.locator("svg.symbol")).to_be_visible()
    desk.go(f"/substation/{lost}")
    supply = page.locator("#readings .indicator", has_text="Dovod omrežja")
    expect(supply.locator(".value.lost .mark")).to_contain_text("IZG")
    expect(supply.locator(".scale.hollow")).to_be_visible()
    for path in (f"/substation/{lost}", f"/?select={lost}", "/table"):
        desk.go(path)
        expect(page.locator(".value.lost").first).to_be_visible()
        for width, height in ((1920, 1080), (1280, 720)):
            page.set_viewport_size({"width": width, "height": height})
            assert page.evaluate(CUT_OFF) == [], (path, width)
    with town.client("vesna") as client:
        until(lambda: client.get("/healthz").json()["devices_lost"] == 1)
