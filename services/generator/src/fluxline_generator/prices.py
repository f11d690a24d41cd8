"""What a run cost."""

from dataclasses import dataclass

from fluxline.contracts.job import Cost
from fluxline_generator.orders import Order
from fluxline_generator.predictions import Prediction

_PIXELS_PER_MEGAPIXEL = 1_000_000


@dataclass(frozen=True)
class Prices:
    """US dollars. Replicate: per second of a trained model, per image of the base model; others: per megapixel."""

    usd_per_second: float
    usd_per_image: float
    fal_usd_per_megapixel: float = 0.025
    fal_lora_usd_per_megapixel: float = 0.035
    together_usd_per_megapixel: float = 0.025

    def of(self, provider: str, order: Order, images: int, prediction: Prediction) -> Cost | None:
        """What the run cost, as far as the provider said how long it took."""
        if provider != "replicate":
            return self._by_pixels(provider, order, images)
        if "lora_scale" not in order.input:
            amount = images * self.usd_per_image
            return Cost(amount_usd=round(amount, 6), basis=f"{images} × {self.usd_per_image} USD per image")
        seconds = prediction.metrics.get("predict_time")
        if seconds is None:
            return None
        basis = f"{seconds:.2f} s × {self.usd_per_second} USD per second"
        return Cost(amount_usd=round(seconds * self.usd_per_second, 6), basis=basis)

    def _by_pixels(self, provider: str, order: Order, images: int) -> Cost:
        megapixels = order.input["width"] * order.input["height"] / _PIXELS_PER_MEGAPIXEL
        usd = self.together_usd_per_megapixel
        if provider == "fal":
            usd = self.fal_lora_usd_per_megapixel if "lora_scale" in order.input else self.fal_usd_per_megapixel
        basis = f"{images} × {megapixels:.2f} megapixels × {usd} USD per megapixel"
        return Cost(amount_usd=round(images * megapixels * usd, 6), basis=basis)
