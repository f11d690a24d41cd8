"""Jaeger, Prometheus, node-exporter and Grafana in docker-compose.yml: bounded, pinned, and in nobody's way."""

import re
from typing import Any, Final

import pytest
import yaml

from monitoring.panels import firing

from . import shipped

COMPOSE: Final[dict[str, Any]] = yaml.safe_load((shipped.ROOT / "docker-compose.yml").read_text())
SERVICES: Final[dict[str, Any]] = COMPOSE["services"]
WATCHERS: Final = ("jaeger", "prometheus", "node-exporter", "grafana")
GRAFANA: Final = shipped.ROOT / "deploy" / "grafana" / "provisioning"
SOURCES: Final = yaml.safe_load((GRAFANA / "datasources" / "fluxline.yml").read_text())["datasources"]


@pytest.mark.parametrize("name", WATCHERS)
def test_a_watcher_is_pinned_bounded_checked_and_may_change_nothing_but_its_volume(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"[\w/-]+:v?\d+\.\d+\.\d+", service["image"])
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}
    assert service["healthcheck"]["test"]
    written = [volume.partition(":")[0] for volume in service["volumes"] if not volume.endswith(":ro")]
    assert written == ([name] if name in COMPOSE["volumes"] else [])


def test_nobody_waits_for_a_watcher() -> None:
    for name, service in SERVICES.items():
        assert not set(WATCHERS) & set(service.get("depends_on", ())), name


def test_files_that_are_mounted_exist() -> None:
    for name in WATCHERS:
        sources = [volume.partition(":")[0] for volume in SERVICES[name]["volumes"] if volume.startswith("./")]
        assert [source for source in sources if not (shipped.ROOT / source).exists()] == []


def test_services_send_their_traces_to_where_jaeger_listens() -> None:
    config = yaml.safe_load((shipped.ROOT / "deploy" / "jaeger" / "config.yml").read_text())
    port = config["receivers"]["otlp"]["protocols"]["http"]["endpoint"].rpartition(":")[2]
    images = {name for name, service in SERVICES.items() if str(service["image"]).startswith("fluxline/")}
    for name in images - {"sandbox", "secrets"}:
        endpoint = SERVICES[name]["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"]
        assert endpoint == f"${{OTEL_EXPORTER_OTLP_ENDPOINT-http://jaeger:{port}}}", name


def test_the_password_of_grafana_stands_in_no_environment() -> None:
    environment = SERVICES["grafana"]["environment"]
    assert environment["GF_SECURITY_ADMIN_PASSWORD__FILE"] == "/secrets/GF_SECURITY_ADMIN_PASSWORD"
    assert "GF_SECURITY_ADMIN_PASSWORD" not in environment


def test_grafana_asks_containers_that_there_are_by_the_names_that_dashboards_use() -> None:
    hosts = {source["uid"]: re.fullmatch(r"http://([\w-]+):\d+", source["url"]).group(1) for source in SOURCES}  # type: ignore[union-attr]
    assert hosts == {"prometheus": "prometheus", "jaeger": "jaeger"}
    [prometheus] = [source for source in SOURCES if source["uid"] == "prometheus"]
    assert prometheus["jsonData"]["exemplarTraceIdDestinations"] == [{"name": "trace_id", "datasourceUid": "jaeger"}]
    assert firing("x")["options"]["datasource"] == prometheus["name"]


def test_grafana_finds_its_dashboards_where_they_are_mounted() -> None:
    [provider] = yaml.safe_load((GRAFANA / "dashboards" / "fluxline.yml").read_text())["providers"]
    mounts = dict(volume.split(":")[:2] for volume in SERVICES["grafana"]["volumes"])
    assert mounts["./deploy/grafana/dashboards"] == provider["options"]["path"]
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home.removeprefix(f"{provider['options']['path']}/").removesuffix(".json") in shipped.boards()
