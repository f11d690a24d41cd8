"""The weights in our storage as providers take them: by a link, which is signed when it is sent and kept nowhere."""

from typing import Any, Final

from fluxline.storage import Storage

LINK_S: Final = 3600


def take_loras(body: dict[str, Any], storage: Storage) -> list[dict[str, Any]]:
    """Take `weights_key` and `lora_scale` out of an order's input: `[{path, scale}]`, empty for a base model."""
    if not (key := body.pop("weights_key", None)):
        return []
    return [{"path": storage.signed_url(key, expires_s=LINK_S), "scale": body.pop("lora_scale")}]
