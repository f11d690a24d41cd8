"""`/v1/trainings/estimate`: what a training would take and cost, before any money is spent."""

from fastapi import APIRouter
from pydantic import ConfigDict

from fluxline.contracts import limits
from fluxline_gateway.deps import Deps, Owner
from fluxline_gateway.errors import problems
from fluxline_gateway.trainings import spending
from fluxline_gateway.trainings.chosen_images import require_images
from fluxline_gateway.trainings.estimates import Estimate, estimate
from fluxline_gateway.trainings.requests import EstimateIn
from fluxline_gateway.trainings.spending import SPEND_EXAMPLE, Account, SpendOut

router = APIRouter(prefix="/v1/trainings", tags=["trainings"])


class EstimateOut(Estimate):
    """What a training would take and cost, the owner's money as it is now, and what stands in the way.

    `based_on` is how many completed trainings of this installation were looked at.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "cost_usd": {"low": 1.3725, "likely": 1.6013, "high": 1.83},
                    "duration_s": {"low": 910.7, "likely": 1107.1, "high": 1547.0},
                    "stages": [
                        {
                            "stage": "replicate_training",
                            "duration_s": {"low": 905.0, "likely": 1095.0, "high": 1500.0},
                            "cost_usd": {"low": 1.3725, "likely": 1.6013, "high": 1.83},
                        }
                    ],
                    "assumptions": ["A second of training costs 0.001525 USD; waiting for a machine costs nothing."],
                    "based_on": 0,
                    "spend": SPEND_EXAMPLE,
                    "warnings": ["A training needs 5 images, and 3 are chosen."],
                }
            ]
        }
    )

    spend: SpendOut
    warnings: list[str]


@router.post(
    "/estimate",
    operation_id="estimate_training",
    responses=problems(_422="A field does not fit, or an image is not the owner's"),
)
async def estimate_training(body: EstimateIn, gateway: Deps, owner: Owner) -> EstimateOut:
    """Estimate a training's cost and duration. Takes a half-filled form, stores nothing and costs nothing.

    The likely cost is what counts against the spend cap when the training is asked for.
    """
    pool, price = gateway.database.pool, gateway.settings.training_usd_per_second
    await require_images(pool, owner.owner, body.image_ids or [])
    told = estimate(body.plan(), await gateway.track_record.lessons(pool, price), price)
    account = await spending.account_of(pool, owner.owner, gateway.settings)
    warnings = _warnings(body, account, told.cost_usd.likely)
    return EstimateOut(**dict(told), spend=account.spend, warnings=warnings)


def _warnings(body: EstimateIn, account: Account, usd: float) -> list[str]:
    """Why POST /v1/trainings would refuse this as it is now."""
    told = []
    if 0 < body.images() < limits.MIN_IMAGES:
        told.append(f"A training needs {limits.MIN_IMAGES} images, and {body.images()} are chosen.")
    if body.publish and body.publish.enabled and not body.publish.accept_license:
        told.append("Publishing needs publish.accept_license: FLUX.1-dev derivatives are non-commercial.")
    if spending.is_over_cap(account.spend, usd):
        told.append(f"It would exceed the spend cap. {spending.sums(account.spend, usd)}")
    if spending.has_no_place(account):
        told.append(f"{account.running} trainings run already, as many as may run at once: wait for one to end.")
    return told
