"""Who comes in, over the app itself and over a real uvicorn."""

import base64
import sqlite3
import threading
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import httpx
import orjson
import pytest

from deployments.serving.access.audit import files_of
from deployments.serving.access.usage import DATABASE, read_usage
from deployments.serving.access.verification import verify
from tasks.contracts.access import KEYS_TYPE, KeyList
from tasks.contracts.errors import ConfigError, UnavailableError
from tasks.stores.access import PLACE
from tasks.stores.signing import Keyring

ROW = {"age": 41, "city": "Oslo", "height": 1.8}
BODY = {"inputs": [ROW]}
PATHS = [
    "/",
    "/docs",
    "/openapi.json",
    "/v2",
    "/v2/models/mixed",
    "/v2/models/mixed/ready",
    "/nowhere",
    "/v2/models/no",
]


def bearer(token):
    return ((b"authorization", f"Bearer {token}".encode()),)


def error(reply):
    return reply.status, reply.body["error"]["code"]


def lines(state):
    return [orjson.loads(line) for path in files_of(state / "audit" / "0") for line in path.read_bytes().splitlines()]


def events(state, name="request"):
    return [line for line in lines(state) if line["event"] == name]


@pytest.fixture
def asked(tiny):
    def send(guarded, method, path, body=b"", headers=()):
        return tiny.call(guarded.app, method, path, body, headers=headers)

    return send


def test_without_keys_a_server_on_loopback_answers_everybody(guard, asked):
    with guard() as open_server:
        assert asked(open_server, "POST", "/predict/mixed", BODY).status == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "", "example.org"])
def test_without_keys_it_refuses_to_start_on_another_interface(guard, host):
    with pytest.raises(ConfigError, match="there is no API key, .* `ingot keys add NAME`, or set INGOT_SERVING_ANONYM"):
        guard(host).__enter__()


def test_it_starts_on_another_interface_with_a_key_or_when_told_that_everybody_may(guard, keys, asked):
    with guard("0.0.0.0", anonymous=True) as open_server:
        assert asked(open_server, "POST", "/predict/mixed", BODY).status == 200
    keys.add("a")
    for anonymous in (False, True):
        with guard("0.0.0.0", anonymous=anonymous) as shut:
            assert error(asked(shut, "POST", "/predict/mixed", BODY)) == (401, "missing_key")


def test_with_a_key_everything_but_health_needs_one_also_what_does_not_exist(guard, keys, asked):
    _, token = keys.add("a")
    with guard() as shut:
        for path in PATHS:
            reply = asked(shut, "GET", path)
            assert error(reply) == (401, "missing_key")
            assert reply.headers["www-authenticate"].startswith('Basic realm="ingot"')
            assert asked(shut, "GET", path, headers=bearer(token)).status in (200, 404)
        assert error(asked(shut, "DELETE", "/v2")) == (401, "missing_key")
        for path in ("/v2/health/live", "/v2/health/ready"):
            assert asked(shut, "GET", path).status == 200


def test_a_token_passes_in_each_of_its_headers(guard, keys, asked):
    _, token = keys.add("a")
    pair = base64.b64encode(f"prometheus:{token}".encode())
    with guard() as shut:
        for header in ((b"x-api-key", token.encode()), *bearer(token), (b"authorization", b"Basic " + pair)):
            assert asked(shut, "POST", "/predict/mixed", BODY, (header,)).status == 200


def test_who_holds_a_token_may_know_what_became_of_it_and_others_hear_nothing(guard, keys, asked):
    expired = keys.add("b", expires_at=(datetime.now(UTC) - timedelta(seconds=1)).isoformat())[1]
    key, revoked = keys.add("a")
    keys.revoke(key.id)
    wrong = revoked[:-1] + ("a" if revoked[-1] != "a" else "b")
    with guard() as shut:
        for token, code in ((revoked, "revoked_key"), (expired, "expired_key"), (wrong, "unknown_key")):
            reply = asked(shut, "GET", "/v2", headers=bearer(token))
            assert error(reply) == (401, code)
            assert token not in reply.body["error"]["message"]


@pytest.mark.parametrize("token", ["x" * 60_000, "ingot_", "\xff\xfe", " "])
def test_what_cannot_be_a_token_is_unknown_or_missing(guard, keys, asked, token):
    keys.add("a")
    with guard() as shut:
        reply = asked(shut, "GET", "/v2", headers=((b"x-api-key", token.encode("latin-1")),))
        assert error(reply) == (401, "unknown_key" if token.strip() else "missing_key")


def test_a_list_whose_keys_are_all_revoked_opens_nothing(guard, keys, asked):
    keys.revoke(keys.add("a")[0].id)
    with guard() as shut:
        assert error(asked(shut, "GET", "/v2")) == (401, "missing_key")


def test_a_key_may_ask_its_own_models_alone(guard, keys, asked):
    _, token = keys.add("a", models=("numbers", "text"))
    with guard() as shut:
        assert asked(shut, "GET", "/v2/models/text", headers=bearer(token)).status == 200
        assert asked(shut, "GET", "/docs", headers=bearer(token)).status == 200
        for method, path in (("POST", "/predict/mixed"), ("GET", "/v2/models/mixed"), ("GET", "/v2/models/no")):
            reply = asked(shut, method, path, BODY, bearer(token))
            assert error(reply) == (403, "forbidden_model")
            assert "may ask numbers, text alone" in reply.body["error"]["message"]


def test_rate_and_quota_answer_429_and_say_when_to_come_back(guard, keys, asked):
    _, fast = keys.add("a", rate_per_second=2)
    _, few = keys.add("b", daily=3)
    with guard() as shut:
        replies = [asked(shut, "GET", "/v2", headers=bearer(fast)) for _ in range(6)]
        assert [reply.status for reply in replies[:2]] == [200, 200]
        assert error(replies[-1]) == (429, "rate_exceeded")
        assert replies[-1].headers["retry-after"] == "1"
        replies = [asked(shut, "GET", "/v2", headers=bearer(few)) for _ in range(5)]
        assert [reply.status for reply in replies] == [200, 200, 200, 429, 429]
        assert error(replies[-1]) == (429, "quota_spent")
        assert 0 < int(replies[-1].headers["retry-after"]) <= 86_400
    with guard() as again:
        assert error(asked(again, "GET", "/v2", headers=bearer(few))) == (429, "quota_spent")


def test_who_guesses_is_sent_away_and_a_good_token_still_passes(guard, keys, asked, state):
    _, token = keys.add("a")
    with guard() as shut:
        replies = [asked(shut, "GET", "/v2", headers=bearer("guess")) for _ in range(60)]
        assert error(replies[0]) == (401, "unknown_key")
        assert error(replies[-1]) == (429, "too_many_failures")
        assert replies[-1].headers["connection"] == "close"
        assert asked(shut, "GET", "/v2", headers=bearer(token)).status == 200
    refused = [line for line in events(state) if line["status"] == 401]
    assert 20 <= len(refused) < 40
    assert sum(line["count"] for line in events(state, "strangers_turned_away")) == 60 - len(refused)


def test_who_comes_without_a_token_again_and_again_does_not_fill_the_log(guard, keys, asked, state):
    keys.add("a")
    with guard() as shut:
        replies = [asked(shut, "GET", "/v2") for _ in range(200)]
        assert error(replies[0]) == (401, "missing_key")
        assert error(replies[-1]) == (429, "too_many_failures")
    assert len([line for line in events(state) if line["status"] == 401]) < 60


def test_a_key_for_some_models_sees_no_figures_of_others(guard, keys, asked):
    _, some = keys.add("some", models=("numbers",))
    _, all_of_them = keys.add("all")
    with guard() as server:
        assert asked(server, "GET", "/metrics", headers=bearer(some)).status == 403
        assert asked(server, "GET", "/metrics", headers=bearer(all_of_them)).status == 200


def test_keys_come_and_go_without_a_restart(guard, keys, asked, tiny):
    with guard() as server:
        key, token = keys.add("a")
        tiny.wait_until(lambda: asked(server, "GET", "/v2").status == 401)
        assert asked(server, "GET", "/v2", headers=bearer(token)).status == 200
        keys.revoke(key.id)
        tiny.wait_until(lambda: asked(server, "GET", "/v2", headers=bearer(token)).status == 401)


def test_an_older_list_a_broken_one_and_none_at_all_leave_the_last_one_in_force(guard, keys, asked, store, tiny):
    key, token = keys.add("a")
    old = store.objects[PLACE]
    keys.revoke(key.id)
    new = store.objects[PLACE]
    forged = Keyring.from_environment().seal(KeyList(seq=2).to_bytes(), KEYS_TYPE)
    wrong_type = Keyring.from_environment().seal(KeyList(seq=3).to_bytes(), "application/vnd.ingot.pointer+json")
    with guard() as server:
        for put in (old, b"broken", forged, wrong_type, None):
            store.objects.pop(PLACE) if put is None else store.objects.update({PLACE: put})
            looks = store.reads.count(PLACE)
            tiny.wait_until(lambda: store.reads.count(PLACE) > looks + 2)  # noqa: B023
            assert error(asked(server, "GET", "/v2", headers=bearer(token))) == (401, "revoked_key")
            store.objects[PLACE] = new
    for put in (old, None):
        store.objects.pop(PLACE) if put is None else store.objects.update({PLACE: put})
        with guard() as anew:  # it remembers on disk what it has seen, and stays shut
            assert error(asked(anew, "GET", "/v2", headers=bearer(token))) == (503, "not_ready")


def test_while_the_store_is_silent_nobody_comes_in_and_afterwards_all_is_well(guard, keys, asked, store, tiny):
    _, token = keys.add("a")
    store.down = True
    with guard() as server:
        reply = asked(server, "GET", "/v2", headers=bearer(token))
        assert error(reply) == (503, "not_ready")
        assert asked(server, "GET", "/v2/health/live").status == 200
        store.down = False
        tiny.wait_until(lambda: asked(server, "GET", "/v2", headers=bearer(token)).status == 200)
        store.down = True
        time.sleep(0.05)
        assert asked(server, "GET", "/v2", headers=bearer(token)).status == 200


def test_a_silent_store_that_turns_out_to_hold_no_keys_does_not_open_another_interface(guard, asked, store, tiny):
    store.down = True
    with guard("0.0.0.0") as server:
        store.down = False
        tiny.wait_until(lambda: error(asked(server, "GET", "/v2")) == (503, "no_keys"))


def test_usage_is_counted_by_key_model_and_day(guard, keys, asked, state):
    key, token = keys.add("web")
    with guard() as server:
        for _ in range(3):
            assert asked(server, "POST", "/predict/mixed", {"inputs": [ROW] * 4}, bearer(token)).status == 200
        assert asked(server, "POST", "/predict/mixed", b"{", bearer(token)).status == 400
        assert asked(server, "POST", "/predict/unheard-of", BODY, bearer(token)).status == 404
        asked(server, "GET", "/v2", headers=bearer("wrong"))
        asked(server, "GET", "/v2/health/live")
    pages, mixed = read_usage(state / DATABASE)
    assert (pages.key, pages.model, pages.requests, pages.errors) == (key.id, "", 1, 1)
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    assert mixed[:7] == (key.id, "web", "mixed", today, 4, 12, 1)
    assert mixed.bytes_in > 3 * 150
    assert mixed.bytes_out > 3 * 100
    assert 0 < mixed.seconds < 5
    assert read_usage(state / DATABASE, key="00000000") == []


def test_usage_of_several_servers_adds_up(guard, keys, asked, state):
    _, token = keys.add("web")
    with guard() as one, guard() as other:
        for server in (one, other, one):
            asked(server, "GET", "/v2", headers=bearer(token))
    assert [row.requests for row in read_usage(state / DATABASE)] == [3]
    assert [report.slot for report in verify(state / "audit")] == ["0", "1"]


def test_the_audit_log_holds_every_request_that_needs_a_key_and_no_secret(guard, keys, asked, state, tiny):
    key, token = keys.add("web", models=("mixed",))
    with guard() as server:
        named = (*bearer(token), (b"x-request-id", b"mine"))
        asked(server, "POST", "/predict/mixed", BODY, named)
        asked(server, "POST", "/predict/text", BODY, bearer(token))
        asked(server, "GET", "/v2", headers=bearer("not-a-token"))
        asked(server, "GET", "/v2/health/live")
        keys.add("other")
        tiny.wait_until(lambda: server.door.roster.seq == 2)
    first, second, third = events(state)
    seconds = first.pop("seconds")
    assert 0 < seconds < 5
    assert first | {"time": "", "previous": ""} == {
        "previous": "", "time": "", "event": "request", "request": "mine", "key": key.id, "peer": "", "method": "POST",
        "path": "/predict/mixed", "model": "mixed", "version": "1", "status": 200, "rows": 1,
    }  # fmt: skip
    assert (second["key"], second["status"], second["model"]) == (key.id, 403, "text")
    assert (third["key"], third["status"], third["path"]) == ("", 401, "/v2")
    assert [line["seq"] for line in events(state, "keys_changed")] == [1, 2]
    written = b"".join(path.read_bytes() for path in files_of(state / "audit" / "0"))
    for secret in (token, token[15:], "not-a-token", "Oslo", key.sha256):
        assert secret.encode() not in written
    assert verify(state / "audit")[0].lines == len(lines(state))


def test_without_an_audit_log_usage_is_still_counted(guard, keys, asked, state):
    _, token = keys.add("web")
    with guard(audit=False) as server:
        asked(server, "GET", "/v2", headers=bearer(token))
    assert not (state / "audit").exists()
    assert [row.requests for row in read_usage(state / DATABASE)] == [1]


def test_what_cannot_be_audited_is_not_answered(guard, keys, asked, monkeypatch):
    _, token = keys.add("web")
    with guard() as server:
        monkeypatch.setattr("deployments.serving.access.books._MOST_PENDING", -1)
        assert error(asked(server, "GET", "/v2", headers=bearer(token))) == (503, "audit_stuck")
        assert asked(server, "GET", "/v2/health/live").status == 200


def test_the_state_folder_is_nobody_elses(guard, state):
    state.mkdir(mode=0o755)
    with guard():
        assert state.stat().st_mode & 0o777 == 0o700


def test_a_state_folder_that_cannot_be_used_is_named(guard, state):
    state.write_text("a file")
    with pytest.raises(ConfigError, match="INGOT_SERVING_STATE is .* must be a folder of yours"):
        guard().__enter__()


def test_a_database_that_is_none_is_named(guard, state):
    state.mkdir()
    (state / DATABASE).write_text("no database, but long enough to be looked at" * 100)
    with pytest.raises(ConfigError, match=r"usage.db cannot be used"):
        guard().__enter__()


def test_usage_that_cannot_be_written_now_is_kept(guard, keys, asked, state, monkeypatch):
    _, token = keys.add("web")
    monkeypatch.setattr("deployments.serving.access.usage._WAIT_SECONDS", 0.01)
    monkeypatch.setattr("deployments.serving.access.books._USAGE_SECONDS", 0.0)
    with guard() as server:
        blocker = sqlite3.connect(state / DATABASE)
        blocker.execute("BEGIN IMMEDIATE")
        asked(server, "GET", "/v2", headers=bearer(token))
        time.sleep(0.4)
        blocker.rollback()
        blocker.close()
    assert [row.requests for row in read_usage(state / DATABASE)] == [1]


def test_over_http_many_clients_keep_to_a_quota_and_every_request_is_counted_and_audited(guard, keys, state, tiny):
    _, token = keys.add("web", daily=300)
    statuses = []

    def client(base_url):
        with httpx.Client(base_url=base_url, headers={"x-api-key": token}, timeout=20) as own:
            statuses.extend(own.post("/predict/mixed", json=BODY).status_code for _ in range(20))

    with guard() as server, tiny.carried(server.app) as http:
        threads = [threading.Thread(target=client, args=(http.base_url,)) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        peer = "127.0.0.1"
        assert http.get("/v2").headers["www-authenticate"]
        assert http.get("/docs", auth=("anybody", token)).status_code == 429
    assert (statuses.count(200), statuses.count(429), len(statuses)) == (300, 100, 400)
    assert sum(row.requests for row in read_usage(state / DATABASE)) == 401
    assert len(events(state)) == 402
    assert {line["peer"] for line in events(state)} == {peer}
    assert verify(state / "audit")


def test_a_page_opens_in_a_browser_that_asks_for_a_password(guard, keys, tiny):
    _, token = keys.add("web")
    with guard() as server, tiny.carried(server.app) as http:
        assert http.get("/").status_code == 401
        page = http.get("/docs", auth=("", token))
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")


def test_a_guesser_loses_his_connection(guard, keys, tiny):
    keys.add("web")
    with guard() as server, tiny.carried(server.app) as http:
        replies = [http.get("/v2", headers={"x-api-key": "guess"}) for _ in range(40)]
        assert replies[-1].status_code == 429
        assert replies[-1].headers["connection"] == "close"
        assert http.get("/v2/health/live").status_code == 200


def test_the_watcher_tells_of_versions_that_were_swapped_and_refused(tiny, store):
    from deployments.serving.library import Library
    from deployments.serving.watcher import Watcher

    told = []
    watcher = Watcher(store, Library(), tell=lambda event, **facts: told.append(SimpleNamespace(event=event, **facts)))
    tiny.publish(store, "numbers", "1", tiny.numbers())
    watcher.look()
    tiny.publish(store, "numbers", "2", tiny.numbers(3.0), tamper=b"broken")
    watcher.look()
    swapped, refused = told
    assert (swapped.event, swapped.model, swapped.version, swapped.seq) == ("version_swapped", "numbers", "1", 2)
    assert (refused.event, refused.model) == ("version_refused", "numbers")


def test_a_store_that_refuses_our_credentials_later_leaves_the_list(guard, keys, asked, store, monkeypatch):
    _, token = keys.add("a")
    with guard() as server:
        monkeypatch.setattr(store, "read", lambda key: (_ for _ in ()).throw(UnavailableError("it is gone")))
        time.sleep(0.05)
        assert asked(server, "GET", "/v2", headers=bearer(token)).status == 200
