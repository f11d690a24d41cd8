"""The providers that there are keys for, in the order in which they are asked."""

from collections.abc import Callable

from fluxline.runtime.provider_calls import ProviderCalls, operations_of
from fluxline.storage import Storage
from fluxline_generator.fal_api import FalApi
from fluxline_generator.provider import Provider
from fluxline_generator.replicate_api import ReplicateApi
from fluxline_generator.settings import GeneratorSettings
from fluxline_generator.together_api import TogetherApi

Make = Callable[[GeneratorSettings, Storage, ProviderCalls], Provider | None]


def configured(settings: GeneratorSettings, storage: Storage, calls: ProviderCalls | None = None) -> list[Provider]:
    """Those named in GENERATOR_PROVIDERS; one without a key is left out, and it ends the process if nobody is left."""
    calls = calls or ProviderCalls()
    made = [_MAKE[name](settings, storage, calls) for name in settings.provider_names]
    providers = [provider for provider in made if provider is not None]
    for provider in providers:
        calls.announce(provider.name, operations_of(type(provider)), settings.runs_at_once)
    if not providers:
        raise SystemExit(f"GENERATOR_PROVIDERS is {settings.providers}, but there is no key for any of them")
    return providers


def _replicate(settings: GeneratorSettings, _storage: Storage, calls: ProviderCalls) -> Provider | None:
    token = settings.replicate_api_token.get_secret_value()
    return ReplicateApi(token, settings.replicate_base_url, timeout_s=settings.call_timeout_s, calls=calls)


def _fal(settings: GeneratorSettings, storage: Storage, calls: ProviderCalls) -> Provider | None:
    if settings.fal_key is None:
        return None
    key = settings.fal_key.get_secret_value()
    return FalApi(key, settings.fal_base_url, storage, timeout_s=settings.call_timeout_s, calls=calls)


def _together(settings: GeneratorSettings, storage: Storage, calls: ProviderCalls) -> Provider | None:
    if settings.together_api_key is None:
        return None
    return TogetherApi(
        settings.together_api_key.get_secret_value(),
        settings.together_base_url,
        storage,
        timeout_s=settings.prediction_s,
        model=settings.together_model,
        lora_model=settings.together_lora_model,
        calls=calls,
    )


_MAKE: dict[str, Make] = {"replicate": _replicate, "fal": _fal, "together": _together}
