"""The one set of limits: enforced by the services, served by `GET /v1/limits`, shown by every client."""

from typing import Final

MIN_IMAGES: Final = 5
MAX_IMAGES: Final = 20
IMAGE_FORMATS: Final = ("jpeg", "png", "webp", "tiff", "heic")
MIN_SHORT_SIDE_PX: Final = 512
MAX_IMAGE_BYTES: Final = 25 * 1024 * 1024
MAX_IMAGE_PIXELS: Final = 100_000_000
MAX_FILENAME_CHARS: Final = 255
MAX_CAPTION_CHARS: Final = 1000

MAX_NAME_CHARS: Final = 50
MAX_TRIGGER_WORD_CHARS: Final = 50
MAX_PROMPT_CHARS: Final = 2000

STEPS: Final = (100, 4000)
DEFAULT_STEPS: Final = 1000
LEARNING_RATE: Final = (1e-5, 1e-2)
DEFAULT_LEARNING_RATE: Final = 4e-4
LORA_RANK: Final = (1, 128)
DEFAULT_LORA_RANK: Final = 16
RESOLUTIONS: Final = (512, 768, 1024)
DEFAULT_RESOLUTION: Final = "512,768,1024"
BASE_MODELS: Final = ("black-forest-labs/FLUX.1-dev",)

NUM_OUTPUTS: Final = (1, 4)
MAX_SAMPLE_PROMPTS: Final = 4
"""Sample images that a model card shows; each has a prompt of its own."""
INFERENCE_STEPS: Final = (1, 50)
DEFAULT_INFERENCE_STEPS: Final = 28
GUIDANCE_SCALE: Final = (0.0, 10.0)
DEFAULT_GUIDANCE_SCALE: Final = 3.5
LORA_SCALE: Final = (-1.0, 2.0)
DEFAULT_LORA_SCALE: Final = 1.0
ASPECT_RATIOS: Final = ("1:1", "16:9", "21:9", "3:2", "2:3", "4:5", "5:4", "3:4", "4:3", "9:16", "9:21")
OUTPUT_FORMATS: Final = ("webp", "jpg", "png")
