"""`/v1/generations/estimate`: what images would cost, before any money is spent."""

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from fluxline_gateway.deps import Deps, Owner
from fluxline_gateway.models.generation_requests import likely_usd
from fluxline_gateway.models.generation_views import GenerationIn
from fluxline_gateway.trainings import spending
from fluxline_gateway.trainings.spending import SPEND_EXAMPLE, SpendOut

router = APIRouter(tags=["generations"])


class GenerationEstimateOut(BaseModel):
    """What images would probably cost, the owner's money as it is now, and what stands in the way.

    The real cost is the generation's `cost`, once it has ended.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "cost_usd": 0.025,
                    "assumptions": ["An image is reckoned at 0.025 USD until its provider tells its cost."],
                    "spend": SPEND_EXAMPLE,
                    "warnings": [],
                }
            ]
        }
    )

    cost_usd: float
    assumptions: list[str]
    spend: SpendOut
    warnings: list[str]


@router.post("/v1/generations/estimate", operation_id="estimate_generation")
async def estimate_generation(body: GenerationIn, gateway: Deps, owner: Owner) -> GenerationEstimateOut:
    """Estimate the cost of images, with a trained model or without. Stores nothing and costs nothing.

    This is what counts against the spend cap when the images are asked for.
    """
    usd = likely_usd(body.num_outputs, gateway.settings)
    spend = await spending.spend_of(gateway.database.pool, owner.owner, gateway.settings)
    over = [f"It would exceed the spend cap. {spending.sums(spend, usd)}"] if spending.is_over_cap(spend, usd) else []
    price = f"{gateway.settings.generation_usd_per_image:g}"
    assumptions = [f"An image is reckoned at {price} USD until its provider tells its cost."]
    return GenerationEstimateOut(cost_usd=usd, assumptions=assumptions, spend=spend, warnings=over)
