"""NATS with JetStream, from its wheel: every message is on disk before it is acknowledged."""

import json
import signal
from collections.abc import Mapping

from fluxline.runtime.nats_users import authorization
from fluxline_cli.stack.credentials import Credentials
from fluxline_cli.stack.files import write_private
from fluxline_cli.stack.layout import Layout
from fluxline_cli.stack.ports import HOST, Ports
from fluxline_cli.stack.program import Program, answers, script


def nats_program(layout: Layout, ports: Ports, credentials: Credentials, env: Mapping[str, str]) -> Program:
    """The server, its configuration written; its streams live below the home."""
    config = layout.nats / "nats.conf"
    write_private(
        config,
        f"listen: {HOST}:{ports['nats']}\n"
        f"http: {HOST}:{ports['nats_monitor']}\n"
        f"max_payload: 2MB\n"
        f"jetstream {{ store_dir: {json.dumps(str(layout.nats))}, sync_interval: always }}\n"
        + authorization(credentials.nats_passwords),
    )
    monitor = ports.url("nats_monitor")
    return Program(
        name="nats",
        command=(script("nats-server"), "-c", str(config)),
        env=env,
        ready=answers(f"{monitor}/healthz?js-server-only=true"),
        health_url=f"{monitor}/healthz",
        stop_signal=signal.SIGINT,
    )
