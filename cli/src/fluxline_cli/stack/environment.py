"""What each process of the stack is told: the inherited environment, without what is not for it, plus its own."""

from collections.abc import Mapping
from dataclasses import dataclass

from fluxline.contracts.permissions import OPERATOR, PERMISSIONS
from fluxline_cli.stack.credentials import ROLES, SUPERUSER, Credentials
from fluxline_cli.stack.layout import Layout
from fluxline_cli.stack.ports import Ports
from fluxline_cli.stack.providers import ADDRESSES, KEYS, R2_OPTIONS, VARIABLES, Providers
from fluxline_cli.stack.state import MARK

SANDBOX_KEYS = {
    "REPLICATE_API_TOKEN": "r8_sandbox_0000000000000000000000000000000",
    "HUGGINGFACE_API_TOKEN": "hf_sandboxsandboxsandboxsandboxsandbox",
    "HUGGINGFACE_USERNAME": "fluxline-sandbox",
    "FAL_KEY": "fal_sandbox_00000000:00000000000000000000000000",
    "TOGETHER_API_KEY": "tgp_sandbox_0000000000000000000000000000",
}
"""What the sandbox accepts; public, because nothing of value hides behind it."""
SANDBOX_PATHS = {"replicate": "/replicate", "huggingface": "/hf", "fal": "/fal", "together": "/together/v1"}
USES_STORAGE = ("gateway", "zipper", "trainer", "publisher", "generator")
USES_PROVIDERS = {
    "trainer": ("replicate",),
    "publisher": ("huggingface",),
    "generator": ("replicate", "fal", "together"),
}
_NOT_INHERITED = VARIABLES | {
    "DATABASE_URL",
    "NATS_URL",
    "NATS_MONITOR_URL",
    "STORAGE_DIR",
    "STORAGE_SECRET",
    "COLLECTOR_TOKEN",
    "COLLECTOR_ALERT_URLS",
    "STUDIO_SECRET",
}


@dataclass(frozen=True)
class Environments:
    """The environment of every process of one stack; `inherited` is that of the command which starts it."""

    inherited: Mapping[str, str]
    layout: Layout
    ports: Ports
    credentials: Credentials
    providers: Providers

    def plain(self) -> dict[str, str]:
        """What everybody gets: no provider's key, no secret of the stack; loopback never through a proxy."""
        env = {name: value for name, value in self.inherited.items() if name not in _NOT_INHERITED}
        no_proxy = ",".join(filter(None, [self.inherited.get("NO_PROXY"), "127.0.0.1", "localhost"]))
        return env | {MARK: str(self.layout.home), "NO_PROXY": no_proxy, "no_proxy": no_proxy, "PYTHONUNBUFFERED": "1"}

    def provisioning(self) -> dict[str, str]:
        """For making streams and consumers."""
        monitor = self.ports.url("nats_monitor")
        return self.plain() | {"NATS_URL": self._nats_url(OPERATOR), "NATS_MONITOR_URL": monitor}

    def sandbox(self) -> dict[str, str]:
        """For the providers' stand-ins."""
        return self.plain() | {
            "SANDBOX_PORT": str(self.ports["sandbox"]),
            "SANDBOX_HOME": str(self.layout.sandbox),
            "SANDBOX_WEBHOOK_SECRET": self.credentials.webhook_secret,
            **{f"SANDBOX_{name}": value for name, value in SANDBOX_KEYS.items()},
        }

    def preparation(self) -> dict[str, str]:
        """For making roles and schemas: every role's address, the superuser's as DATABASE_URL."""
        port = self.ports["postgres"]
        roles = {f"DATABASE_URL_{role.upper()}": self.credentials.database_url(role, port) for role in ROLES}
        return self.plain() | roles | {"DATABASE_URL": self.credentials.database_url(SUPERUSER, port, "postgres")}

    def service(self, name: str) -> dict[str, str]:
        """For a service; what a person set for it (`TRAINER_POLL_SECONDS`) wins over our defaults."""
        reads_events = name in PERMISSIONS
        env = _defaults(self, name) | (self.provisioning() if reads_events else self.plain())
        env[f"{name.upper()}_HTTP_PORT"] = str(self.ports[name])
        if reads_events:
            env["NATS_URL"] = self._nats_url(name)
        if name in ROLES:
            env["DATABASE_URL"] = self.credentials.database_url(name, self.ports["postgres"])
        if name in USES_STORAGE:
            env |= self._storage()
        for provider in USES_PROVIDERS.get(name, ()):
            env |= self._provider(provider)
        if name in ("gateway", "collector"):
            env["COLLECTOR_TOKEN"] = self.credentials.collector_token
        if name == "collector" and (channels := self.inherited.get("COLLECTOR_ALERT_URLS")):
            env["COLLECTOR_ALERT_URLS"] = channels
        if name == "gateway":
            env["GATEWAY_COLLECTOR_URL"] = self.ports.url("collector")
        if name == "studio":
            env |= self._studio()
        return env

    def _studio(self) -> dict[str, str]:
        return {
            "STUDIO_GATEWAY_URL": self.ports.url("gateway"),
            "STUDIO_SECRET": self.credentials.studio_secret,
            "STUDIO_COOKIE_SECURE": "false",  # plain HTTP, on this machine alone
        }

    def _nats_url(self, user: str) -> str:
        return self.credentials.nats_url(user, self.ports["nats"])

    def _storage(self) -> dict[str, str]:
        if self.providers.r2:
            return {name: self.inherited[name] for name in R2_OPTIONS if self.inherited.get(name)}
        public_url = self.inherited.get("STORAGE_PUBLIC_URL") or self.ports.url("gateway")
        return {
            "STORAGE_DIR": str(self.layout.storage),
            "STORAGE_PUBLIC_URL": public_url if self.providers.real else self.ports.url("gateway"),
            "STORAGE_SECRET": self.credentials.storage_secret,
        }

    def _provider(self, name: str) -> dict[str, str]:
        role = self.providers.role(name)
        if role == "off":
            return {}
        if role == "real":
            variables = (*KEYS[name], ADDRESSES[name])
            return {variable: self.inherited[variable] for variable in variables if self.inherited.get(variable)}
        address = self.ports.url("sandbox") + SANDBOX_PATHS[name]
        return {key: SANDBOX_KEYS[key] for key in KEYS[name]} | {ADDRESSES[name]: address}


def _defaults(stack: Environments, name: str) -> dict[str, str]:
    """Settings of a service that a person may override by setting them in the environment."""
    if name == "gateway":
        defaults = {
            "GATEWAY_PUBLIC_URL": stack.ports.url("gateway"),
            "GATEWAY_REQUESTS_PER_MINUTE": "60000",  # whoever is on this machine is its owner
        }
        if "replicate" not in stack.providers.real:
            defaults["GATEWAY_REPLICATE_WEBHOOK_SECRET"] = stack.credentials.webhook_secret
        return defaults
    if name in ("trainer", "generator") and "replicate" not in stack.providers.real:
        quick = {"TRAINER_POLL_SECONDS": "[1]", "TRAINER_SWEEP_S": "5", "GENERATOR_POLL_S": "0.3"}
        hook = {"TRAINER_WEBHOOK_URL": stack.ports.url("gateway") + "/v1/webhooks/replicate"}
        return quick | hook
    return {}
