"""The accounts at the providers: whose key, bill and status page an error is about."""

from dataclasses import dataclass
from typing import Final

from fluxline_generator.errors import (
    ProviderBilling,
    ProviderDenied,
    ProviderError,
    ProviderUnreachable,
    RunLost,
)


@dataclass(frozen=True)
class Account:
    """How a provider is called, the settings with its key and address, and its pages for people.

    `results` says how long links to results live, where the provider says so. `public` results need no key, so that
    a refusal of one means that it is gone.
    """

    label: str
    key: str
    address: str
    keys_url: str
    billing_url: str
    status_url: str
    results: str = ""
    public: bool = True

    def hint(self, kind: type[ProviderError]) -> str | None:
        """What to do about this kind of error; None where the kind itself says it."""
        again = "It is tried again by itself"
        return {
            ProviderDenied: f"Set {self.key} to a valid key of {self.label} from {self.keys_url}.",
            ProviderBilling: f"Add credit to the account of {self.key} at {self.billing_url} and generate again.",
            ProviderUnreachable: f"{again}; check {self.address} and the network if it lasts.",
            ProviderError: f"{again}; see {self.status_url} if it lasts.",
        }.get(kind)

    def gone(self, status: int) -> RunLost:
        """A result that nobody can fetch any more."""
        ending = f": {self.results}" if self.results else ""
        return RunLost(f"The image at {self.label} is gone{ending}", status=status)


REPLICATE: Final = Account(
    "Replicate",
    "REPLICATE_API_TOKEN",
    "REPLICATE_BASE_URL",
    "https://replicate.com/account/api-tokens",
    "https://replicate.com/account/billing",
    "https://www.replicatestatus.com",
    results="results live for an hour",
    public=False,
)
FAL: Final = Account(
    "fal",
    "FAL_KEY",
    "FAL_BASE_URL",
    "https://fal.ai/dashboard/keys",
    "https://fal.ai/dashboard/billing",
    "https://status.fal.ai",
)
TOGETHER: Final = Account(
    "Together",
    "TOGETHER_API_KEY",
    "TOGETHER_BASE_URL",
    "https://api.together.ai/settings/api-keys",
    "https://api.together.ai/settings/billing",
    "https://status.together.ai",
    results="results live for about an hour",
)
