"""What is shipped in deploy/ fits the code: images, their packages, the composed system, the server's configuration."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from fluxline.contracts.permissions import PERMISSIONS
from fluxline.runtime.nats_users import USERS, authorization, variable
from fluxline_cli.deployment.secrets import make_secrets
from fluxline_cli.stack.credentials import ROLES
from processes import script

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "deploy" / "docker"
LOCKS = sorted((IMAGES / "requirements").glob("*.txt"))
DOCKERFILE = (IMAGES / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = {folder.name.removeprefix("debug-") for folder in (ROOT / "services").iterdir() if folder.is_dir()}


def packages(lock: Path) -> dict[str, str]:
    """What a lock pins: `name==version`, with its hashes."""
    text = re.sub(r"^\s*#.*\n", "", lock.read_text(), flags=re.MULTILINE)
    return dict(part.split(maxsplit=1) for part in re.split(r"\n(?=\S)", text.strip()))


def files(folder: Path) -> dict[str, str]:
    """What the files below say, by their path."""
    return {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*") if file.is_file()}


def test_every_service_has_an_image_a_lock_and_a_place_in_the_composed_system() -> None:
    assert set(re.findall(r"^FROM base AS (\S+)$", DOCKERFILE, re.MULTILINE)) == SERVICES | {
        "installer",
        "sandbox",
        "ops",
    }
    assert {lock.stem for lock in LOCKS} == SERVICES | {"sandbox", "ops", "build"}
    assert set(COMPOSE["services"]) >= SERVICES


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_an_image_has_the_packages_that_were_tested(lock: Path) -> None:
    tested = packages(ROOT / "requirements.lock")
    assert {name: text for name, text in packages(lock).items() if tested.get(name) != text} == {}
    assert "://" not in lock.read_text()


def test_containers_may_do_no_more_than_they_need() -> None:
    for name in SERVICES:
        service = COMPOSE["services"][name]
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"]), name
        assert service["volumes"] == [f"{name}-secrets:/secrets:ro"], name
        assert service["deploy"]["resources"]["limits"], name


def test_ports_are_open_to_this_machine_only() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_secrets_are_made_once_and_each_container_gets_its_own(tmp_path: Path) -> None:
    for name in (*SERVICES, "ops", "nats", "postgres", "s3", "grafana"):
        (tmp_path / name).mkdir()
    assert make_secrets(tmp_path)
    made = files(tmp_path)
    assert not make_secrets(tmp_path)
    assert made == files(tmp_path)
    for user in PERMISSIONS:
        password = made[f"{user}/NATS_URL"].split(":")[2].partition("@")[0]
        assert f'user: {user}, password: "{password}"' in made["nats/authorization.conf"]
        readers = {name for name, text in made.items() if password in text}
        assert readers == {f"{user}/NATS_URL", "nats/authorization.conf"}
    for role in ROLES:
        assert made[f"{role}/DATABASE_URL"] == made[f"ops/DATABASE_URL_{role.upper()}"]
    assert made["gateway/COLLECTOR_TOKEN"] == made["collector/COLLECTOR_TOKEN"]
    [identity] = json.loads(made["s3/s3.json"])["identities"]
    assert identity["credentials"][0]["secretKey"] == made["zipper/CLOUDFLARE_R2_SECRET_ACCESS_KEY"]


def test_a_system_that_is_older_than_a_container_gets_its_secret(tmp_path: Path) -> None:
    for name in (*SERVICES, "ops", "nats", "postgres", "s3", "grafana"):
        (tmp_path / name).mkdir()
    make_secrets(tmp_path)
    before = files(tmp_path)
    (tmp_path / "grafana" / "GF_SECURITY_ADMIN_PASSWORD").unlink()
    assert not make_secrets(tmp_path)
    after = files(tmp_path)
    assert after.keys() == before.keys()
    changed = {name for name, text in after.items() if before[name] != text}
    assert changed == {"grafana/GF_SECURITY_ADMIN_PASSWORD"}


def test_a_server_understands_its_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for user in USERS:
        monkeypatch.setenv(variable(user), "f0e1d2c3b4a5")
    check = [script("nats-server"), "-t", "-c", str(ROOT / "deploy" / "nats" / "nats.conf")]
    assert subprocess.run(check, capture_output=True, timeout=30, check=False).returncode == 0
    made = tmp_path / "users"
    made.mkdir()
    (made / "authorization.conf").write_text(authorization(dict.fromkeys(USERS, "f0e1d2c3b4a5")))
    (tmp_path / "nats.conf").write_text((ROOT / "deploy" / "nats" / "nats.conf").read_text())
    check[-1] = str(tmp_path / "nats.conf")
    assert subprocess.run(check, capture_output=True, timeout=30, check=False).returncode == 0
