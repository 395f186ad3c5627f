"""The HTTP interface of a running town: who may do what, one form of refusal, orders to real controllers."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from .running_town import HOUSES, PASSWORDS, RunningTown, until

pytestmark = pytest.mark.slow  # the town's processes take some seconds to start

POINT = "curve_shift_sp_k"


def test_every_path_but_login_and_health_wants_a_login(town: RunningTown) -> None:
    with town.client("marta") as marta, town.client() as nobody:
        schema = marta.get("/api/v1/openapi.json").json()
        asked = 0
        for path, methods in schema["paths"].items():
            for method in methods:
                if path == "/api/v1/login":
                    continue
                filled = path.replace("{device_id}", "house-01").replace("{point}", "room_temp_c")
                filled = (
                    filled.replace("{order_id}", "1").replace("{alarm_id}", "x").replace("{area}", "north")
                )
                answer = nobody.request(method.upper(), filled)
                assert answer.status_code == 401, f"{method} {path}: {answer.status_code}"
                assert_refusal(answer, "not_logged_in")
                asked += 1
        assert asked >= 20
        for path in (
            "/api/v1/docs",
            "/",
            "/table",
            "/alarms",
            "/trend",
            "/coordinator",
            "/substation/house-01",
        ):
            page = nobody.get(path)
            assert page.status_code == 303 and page.headers["location"].startswith("/login"), path


def test_who_opens_a_wrong_address_in_a_browser_gets_a_page(town: RunningTown) -> None:
    with town.client() as client:
        for path, code in (("/nowhere", "no_such_address"), ("/static/nothing.js", "no_such_address")):
            page = client.get(path, headers={"Accept": "text/html,*/*;q=0.8"})
            assert page.status_code == 404 and page.headers["content-type"].startswith("text/html")
            assert f'data-code="{code}"' in page.text and 'href="/"' in page.text
            assert_refusal(client.get(path, headers={"Accept": "*/*"}), code)
        assert_refusal(client.get("/api/v1/nowhere", headers={"Accept": "text/html"}), "no_such_address")
    with town.client("marta") as marta:
        page = marta.get("/substation/house-99", headers={"Accept": "text/html"})
        assert page.status_code == 404 and 'data-code="unknown_device"' in page.text


def test_a_wrong_password_says_so_in_both_languages_and_opens_nothing(town: RunningTown) -> None:
    with town.client() as client:
        wrong = {"name": "marta", "password": "not her password at all"}
        english = client.post("/api/v1/login", json=wrong)
        assert_refusal(english, "wrong_login")
        assert "wrong" in english.json()["message"]
        slovenian = client.post("/api/v1/login", json=wrong, headers={"Accept-Language": "sl"})
        assert "geslo" in slovenian.json()["message"]
        assert slovenian.json()["detail"] == english.json()["detail"]
        unknown = client.post("/api/v1/login", json={"name": "nobody", "password": "x" * 20})
        assert unknown.json()["message"] == english.json()["message"]  # it is not said which was wrong
        form = client.post("/login", data={**wrong, "next": "/table"})
        assert form.status_code == 401 and 'data-code="wrong_login"' in form.text
        assert wrong["password"] not in form.text
        assert client.get("/api/v1/me").status_code == 401


def test_the_login_form_goes_to_our_own_pages_only(town: RunningTown) -> None:
    for wanted, reached in (
        ("/table", "/table"),
        ("//evil.example/", "/"),
        ("https://evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("javascript:alert(1)", "/"),
    ):
        with town.client() as client:
            answer = client.post(
                "/login", data={"name": "vesna", "password": PASSWORDS["vesna"], "next": wanted}
            )
            assert (answer.status_code, answer.headers["location"]) == (303, reached)
            cookie = answer.headers["set-cookie"]
            assert "HttpOnly" in cookie and "samesite=strict" in cookie.lower()


def test_a_write_without_our_header_or_from_elsewhere_changes_nothing(town: RunningTown) -> None:
    body = {"substation": "house-01", "point": POINT, "value": -1.0}
    with town.client("marta") as marta:
        for headers in ({"X-Toplovod-CSRF": ""}, {"X-Toplovod-CSRF": "guessed"}):
            assert_refusal(marta.post("/api/v1/orders/preview", json=body, headers=headers), "csrf")
        foreign = {"Origin": "https://evil.example"}
        assert_refusal(marta.post("/api/v1/orders/preview", json=body, headers=foreign), "foreign_origin")
        login = {"name": "marta", "password": PASSWORDS["marta"]}
        assert_refusal(marta.post("/api/v1/login", json=login, headers=foreign), "foreign_origin")
        assert marta.post("/logout", data={"csrf": "guessed"}).status_code == 403
        assert marta.get("/api/v1/me").status_code == 200


def test_a_viewer_and_a_neighbour_may_look_but_not_order(town: RunningTown) -> None:
    body = {"substation": f"house-{HOUSES:02d}", "point": POINT, "value": -1.0}
    for name in ("vesna", "north-only"):
        with town.client(name) as client:
            house = client.get(f"/api/v1/substations/house-{HOUSES:02d}").json()
            assert house["may_order"] is False and house["link"] == "ok"
            refused = client.post("/api/v1/orders/preview", json=body)
            assert_refusal(refused, "not_allowed")
            assert refused.status_code == 403
            mode = client.put("/api/v1/coordinator/areas/south", json={"mode": "off"})
            assert_refusal(mode, "not_allowed")


def test_a_controllers_own_log_is_read_on_demand_by_who_may_order_there(town: RunningTown) -> None:
    path = f"/api/v1/substations/house-{HOUSES:02d}/log"
    with town.client("vesna") as vesna:
        assert_refusal(vesna.get(path), "not_allowed")
    with town.client("marta") as marta:
        log = marta.get(path, params={"limit": 1}).json()
        assert (log["whole"], log["genuine"], log["broken"]) == (True, True, None)
        assert len(log["records"]) == 1 and log["next"] >= 2
        first = marta.get(path).json()["records"][-1]
        assert (first["sequence"], first["kind"], first["who"]) == (0, "boot", "device")
        assert first["text"].startswith("start 1 after power on, firmware ")
        assert marta.get("/api/v1/substations/nowhere/log").status_code == 404
        clock = marta.get("/api/v1/substations/house-01").json()["clock"]
        assert clock["state"] in ("unknown", "right") and clock["limit_s"] == 30


def test_an_order_goes_from_preview_to_effective_and_back_by_release(town: RunningTown) -> None:
    with town.client("marta") as marta:
        preview = marta.post(
            "/api/v1/orders/preview",
            json={"substation": "house-01", "point": POINT, "value": -0.5, "lease_s": 900},
        ).json()
        assert (preview["new"], preview["unit"]) == (-0.5, "K")
        order = marta.post(
            "/api/v1/orders/execute", json={"preview_hash": preview["hash"], "reason": "preskus"}
        )
        assert order.status_code == 202
        order_id = order.json()["id"]
        until(lambda: marta.get(f"/api/v1/orders/{order_id}").json()["state"] == "effective", 120)
        lease = next(
            row for row in marta.get("/api/v1/substations/house-01").json()["leases"] if row["point"] == POINT
        )
        assert lease["owner"] == "operator" and 0 < lease["seconds_left"] <= 900
        again = marta.post("/api/v1/orders/execute", json={"preview_hash": preview["hash"]})
        assert_refusal(again, "preview_expired")
        released = marta.post("/api/v1/orders/release", json={"substation": "house-01", "point": POINT})
        assert released.status_code == 202
        release_id = released.json()["id"]
        until(lambda: marta.get(f"/api/v1/orders/{release_id}").json()["state"] == "released", 120)
        bodies = [row["body"] for row in marta.get("/api/v1/audit?limit=2000").json()["rows"]]
        assert any(body.get("reason") == "preskus" for body in bodies)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"value": 40.0}, "beyond_limits"),
        ({"point": "room_temp_c"}, "unknown_setpoint"),
        ({"substation": "house-99"}, "unknown_device"),
        ({"value": "warm"}, "bad_request"),
        ({"value": None}, "bad_request"),
        ({"lease_s": 5}, "lease_out_of_range"),
        ({"valve": 1}, "bad_request"),
    ],
)
def test_what_cannot_be_ordered_is_refused_in_one_form(
    town: RunningTown, change: dict[str, Any], code: str
) -> None:
    body = {"substation": "house-01", "point": POINT, "value": -1.0, "lease_s": 900} | change
    with town.client("marta") as marta:
        before = orders_of(marta, "marta")
        assert_refusal(marta.post("/api/v1/orders/preview", json=body), code)
        assert orders_of(marta, "marta") == before


def test_what_moves_the_whole_town_takes_two_people(town: RunningTown) -> None:
    with town.client("marta") as marta, town.client("bojan") as bojan:
        present = marta.get("/api/v1/substations/plant").json()["points"]["plant_dp_effective_bar"]["value"]
        body = {"substation": "plant", "point": "plant_dp_sp_bar", "value": round(present + 0.02, 2)}
        preview = marta.post("/api/v1/orders/preview", json=body).json()
        assert preview["needs_second_person"] is True
        alone = marta.post("/api/v1/orders/execute", json={"preview_hash": preview["hash"]})
        assert_refusal(alone, "second_person_needed")
        herself = marta.post("/api/v1/orders/approve", json={"preview_hash": preview["hash"]})
        assert_refusal(herself, "same_person")
        waiting = bojan.get("/api/v1/previews").json()["previews"]
        assert [row["hash"] for row in waiting] == [preview["hash"]]
        agreed = bojan.post("/api/v1/orders/approve", json={"preview_hash": preview["hash"]})
        assert agreed.json()["approved_by"] == "bojan"
        order = bojan.post("/api/v1/orders/execute", json={"preview_hash": preview["hash"]}).json()
        assert (order["user"], order["approved_by"]) == ("marta", "bojan")
        done = bojan.post("/api/v1/orders/release", json={"substation": "plant", "point": "plant_dp_sp_bar"})
        assert done.status_code == 202  # giving back takes one


def test_the_site_tells_screens_units_decimals_and_lines(town: RunningTown) -> None:
    with town.client("vesna") as client:
        site = client.get("/api/v1/site").json()
    points = {p["name"]: p for p in site["profiles"]["substation"]["points"]}
    shown = {name: (points[name]["unit"], points[name]["decimals"]) for name in POINTS_SHOWN}
    assert shown == POINTS_SHOWN
    assert len(site["map"]["lines"]) == HOUSES  # supply and return lie on one another
    assert [device["id"] for device in site["devices"]] == ["house-01", "house-02", "house-03", "plant"]
    assert site["simulated"] is False and site["least_dp_bar"] == 0.4


POINTS_SHOWN = {
    "primary_supply_temp_c": ("°C", 1),
    "primary_dp_bar": ("bar", 2),
    "primary_flow_m3_h": ("m³/h", 3),
    "primary_heat_kw": ("kW", 1),
    "primary_energy_kwh": ("kWh", 0),
    "valve_position_out_pct": ("%", 0),
    "curve_shift_sp_k": ("K", 1),
    "deficit_used_kh": ("K·h", 1),
}


def test_history_is_there_after_some_polls_and_refuses_a_span_backwards(town: RunningTown) -> None:
    with town.client("vesna") as client:
        now = datetime.fromisoformat(client.get("/healthz").json()["utc"])

        def series() -> dict[str, Any]:
            span = {"start": (now - timedelta(hours=1)).isoformat(), "end": "2100-01-01T00:00:00+00:00"}
            answer = client.get("/api/v1/history/house-01/room_temp_c", params=span)
            content: dict[str, Any] = answer.json()
            return content

        until(lambda: len(series()["utc_s"]) >= 2)
        found = series()
        assert all(
            low <= mean <= high
            for low, mean, high in zip(found["min"], found["mean"], found["max"], strict=True)
        )
        backwards = {"start": now.isoformat(), "end": (now - timedelta(hours=1)).isoformat()}
        assert_refusal(client.get("/api/v1/history/house-01/room_temp_c", params=backwards), "bad_span")
        nowhere = {"start": (now - timedelta(hours=1)).isoformat(), "end": now.isoformat()}
        assert client.get("/api/v1/history/house-01/nonsense", params=nowhere).status_code == 404


def test_every_response_keeps_other_hosts_and_frames_out(town: RunningTown) -> None:
    with town.client("vesna") as client:
        for path in ("/", "/login", "/static/js/shell.js", "/api/v1/me", "/nowhere", "/api/v1/docs"):
            headers = client.get(path).headers
            policy = headers["content-security-policy"]
            assert "default-src 'none'" in policy and "script-src 'self'" in policy
            assert "http" not in policy and "unsafe" not in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cache-control"] == ("no-cache" if "/static/" in path else "no-store")


def test_the_list_of_operations_is_our_own_page(town: RunningTown) -> None:
    with town.client("vesna") as client:
        page = client.get("/api/v1/docs").text
        assert "POST /api/v1/orders/execute" in page and "preview_hash" in page
        assert "https://" not in page and "<script>" not in page


def test_health_and_metrics_answer_this_machine(town: RunningTown) -> None:
    with town.client() as client:
        health = client.get("/healthz").json()
        assert health["status"] == "ok" and health["devices"] == HOUSES + 1
        metrics = client.get("/metrics").text
        assert "toplovod_field_ok_total" in metrics and 'toplovod_alarms_active{priority="1"}' in metrics


def test_an_oversized_body_is_cut_off(town: RunningTown) -> None:
    with town.client() as client:
        try:
            answer = client.post("/api/v1/login", json={"name": "x", "password": "y" * 2_000_000})
        except httpx.TransportError:
            return
        assert answer.status_code >= 400


def orders_of(client: httpx.Client, user: str) -> list[int]:
    """Numbers of a person's orders; the supervisor itself may set a clock at any time."""
    return [order["id"] for order in client.get("/api/v1/orders").json()["orders"] if order["user"] == user]


def assert_refusal(answer: httpx.Response, code: str) -> None:
    """Every refusal has the same form, says what now, and whether anything was changed."""
    content = answer.json()
    assert answer.status_code >= 400 and content["code"] == code, answer.text
    assert content["message"] and content["what_now"] and content["changed"] is False
    assert "{" not in content["message"] + content["what_now"]  # every value of the sentence was given
    assert not content["message"].startswith("[") and not content["what_now"].startswith("[")
