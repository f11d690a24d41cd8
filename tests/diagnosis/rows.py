"""The table: every symptom of "Symptom → category", at every stage where a provider or the storage can show it."""

from .hub_rows import PUBLISH_ROWS
from .image_rows import GENERATION_ROWS
from .replicate_rows import CREATE_ROWS, WATCH_ROWS
from .row import AUTHENTICATION, FILE, ZIP, Row

ZIP_ROWS = [
    Row("zip-photos-gone", ZIP, "two of six photos are gone from storage", FILE, "Upload it again", scene="gone"),
    Row("zip-photos-damaged", ZIP, "two photos were overwritten in storage", FILE, "Upload it again", scene="damaged"),
    Row(
        "zip-storage-denied",
        ZIP,
        "the storage takes no new files (permission denied)",
        AUTHENTICATION,
        "STORAGE_DIR",
        alone=True,
        scene="storage-denied",
    ),
]


TRAINING_ROWS = [*ZIP_ROWS, *CREATE_ROWS, *WATCH_ROWS, *PUBLISH_ROWS]
ROWS = [*TRAINING_ROWS, *GENERATION_ROWS]
