"""How alerts stand is kept by rule, pipeline and target, and changed by one process at a time."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from odibi.record import RunStore, open_store
from odibi.record.notices import AlertState, alert_states, change_alerts, restore_alert
from tests.unit.record.records import NOON

FIRED = AlertState("failed", "daily", "prod", True, "run-1", NOON)


def test_what_fired_is_known_to_who_opens_the_store_next(store: RunStore, url: str) -> None:
    assert change_alerts(store, "prod", lambda _: [FIRED]) == {("failed", "daily"): None}
    later = replace(FIRED, firing=False, last_fired=NOON + timedelta(microseconds=1))
    with open_store(url) as other:
        assert alert_states(other, "prod") == {("failed", "daily"): FIRED}
        assert alert_states(other, "dev") == {}
        assert change_alerts(other, "prod", lambda found: [later] if found else []) == {
            ("failed", "daily"): FIRED
        }
    assert list(alert_states(store, "prod").values()) == [later]


def test_what_nobody_was_told_is_taken_back_unless_it_has_changed_since(store: RunStore) -> None:
    change_alerts(store, "prod", lambda _: [FIRED])
    over = replace(FIRED, firing=False)
    restore_alert(store, over, FIRED)  # somebody else has changed it
    assert list(alert_states(store, "prod").values()) == [FIRED]
    change_alerts(store, "prod", lambda _: [over])
    restore_alert(store, over, FIRED)
    assert list(alert_states(store, "prod").values()) == [FIRED]
    restore_alert(store, FIRED, None)
    assert alert_states(store, "prod") == {}
