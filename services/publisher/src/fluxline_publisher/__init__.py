"""Weights to a checked model on Hugging Face.

huggingface_hub reads its switches once, when it is imported, so they are set here, before any module of ours can
import it. Xet is off because its native client knows neither our timeouts nor a hub that is not Hugging Face's own.
"""

import os

for _switch in ("XET", "PROGRESS_BARS", "TELEMETRY", "IMPLICIT_TOKEN"):
    os.environ[f"HF_HUB_DISABLE_{_switch}"] = "1"
