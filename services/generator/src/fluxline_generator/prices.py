"""What a run cost."""

from dataclasses import dataclass

from fluxline.contracts.job import Cost
from fluxline_generator.predictions import Prediction
from fluxline_generator.prompts import Order


@dataclass(frozen=True)
class Prices:
    """US dollars: per second of a trained model's run, per image of the base model."""

    usd_per_second: float
    usd_per_image: float

    def of(self, order: Order, images: int, prediction: Prediction) -> Cost | None:
        """What the run cost, as far as the provider said how long it took."""
        if order.is_base_model:
            amount = images * self.usd_per_image
            return Cost(amount_usd=round(amount, 6), basis=f"{images} × {self.usd_per_image} USD per image")
        seconds = prediction.metrics.get("predict_time")
        if seconds is None:
            return None
        basis = f"{seconds:.2f} s × {self.usd_per_second} USD per second"
        return Cost(amount_usd=round(seconds * self.usd_per_second, 6), basis=basis)
