"""Who may do what: not a verb more than is used."""

from __future__ import annotations

from odibi.kubernetes.lint import lint
from odibi.kubernetes.rbac import submitter, worker


def rules(objects: list[dict[str, object]]) -> dict[tuple[str, str], set[str]]:
    role = next(one for one in objects if one["kind"] == "Role")
    found: dict[tuple[str, str], set[str]] = {}
    for rule in role["rules"]:  # type: ignore[attr-defined]
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                found[(group, resource)] = set(rule["verbs"])
    return found


def test_what_a_submitter_may() -> None:
    assert rules(submitter("etl")) == {
        ("batch", "jobs"): {"create", "list", "watch", "delete"},
        ("batch", "cronjobs"): {"list", "delete"},
        ("", "pods"): {"list", "watch"},
        ("", "pods/log"): {"get"},
        ("", "events"): {"list", "watch"},
    }


def test_what_a_driver_may() -> None:
    assert rules(worker("etl")) == {
        ("", "pods"): {"get", "list", "watch", "create", "delete", "deletecollection", "patch"},
        ("", "configmaps"): {"create", "delete", "deletecollection"},
        ("", "services"): {"deletecollection"},
        ("", "persistentvolumeclaims"): {"list", "deletecollection"},
    }


def test_accounts_are_bound_to_their_roles() -> None:
    for made in (submitter("etl", "a"), worker("etl", "a")):
        account, role, binding = made
        assert [one["metadata"]["name"] for one in made] == ["a", "a", "a"]
        assert {one["metadata"]["namespace"] for one in made} == {"etl"}
        assert binding["roleRef"]["name"] == role["metadata"]["name"]
        assert binding["subjects"][0]["name"] == account["metadata"]["name"]
        assert [finding for one in made for finding in lint(one)] == []
        assert "*" not in str(role["rules"])
