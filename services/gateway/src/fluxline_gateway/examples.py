"""The ids and times of the examples in the OpenAPI document: the same thing has the same id everywhere.

A model's examples stand in its `json_schema_extra`; a test makes things of these ids and sends every example.
"""

from typing import Final

OWNER: Final = "ada"
IMAGE_IDS: Final = tuple(f"1a7e5c1a-0000-4000-8000-00000000000{n}" for n in range(1, 6))
UPLOAD_ID: Final = "5e55105e-0000-4000-8000-000000000001"
TRAINING_ID: Final = "7a1a1a60-0000-4000-8000-000000000001"
MODEL_ID: Final = "10de1000-0000-4000-8000-000000000001"
GENERATION_ID: Final = "6e6e2a7e-0000-4000-8000-000000000001"
KEY_ID: Final = "4e754e75-0000-4000-8000-000000000001"
DELIVERY_ID: Final = "de11fe2a-0000-4000-8000-000000000001"
SHA256: Final = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
TRACE_ID: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
CREATED_AT: Final = "2026-11-25T10:00:00Z"
UPDATED_AT: Final = "2026-11-25T10:20:00Z"
EXPIRES_AT: Final = "2026-11-26T10:00:00Z"
