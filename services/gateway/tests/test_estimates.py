"""Estimates: the provider's figures, and what completed trainings change about them. No input, no output."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxline.contracts import limits
from fluxline.contracts.errors import Stage
from fluxline_gateway.trainings.estimates import MIN_PAST, Estimate, Past, Plan, estimate, lessons_of
from fluxline_gateway.trainings.state import PIPELINE

PRICE = 0.001525
USUAL = Plan(image_count=10)
plans = st.builds(
    Plan,
    steps=st.integers(*limits.STEPS),
    resolution=st.sampled_from(["512", "768", "1024", "512,1024", limits.DEFAULT_RESOLUTION]),
    lora_rank=st.integers(*limits.LORA_RANK),
    image_count=st.none() | st.integers(1, limits.MAX_IMAGES),
    publish=st.booleans(),
)
pasts = st.lists(
    st.builds(
        Past,
        plans,
        st.dictionaries(st.sampled_from(PIPELINE), st.floats(0, 1e6)),
        st.none() | st.floats(0, 1e4),
    ),
    max_size=12,
)


def told(plan: Plan, past: list[Past] | None = None) -> Estimate:
    return estimate(plan, lessons_of(past or [], PRICE), PRICE)


def training_of(found: Estimate) -> float:
    return next(stage.duration_s.likely for stage in found.stages if stage.stage is Stage.REPLICATE_TRAINING)


def past_at(factor: float, plan: Plan = USUAL, *, cost: float | None = 1.0) -> Past:
    """A training that took `factor` times as long as the provider says, and cost `cost` times as much."""
    found = told(plan)
    usd = None if cost is None else found.cost_usd.likely * cost
    return Past(plan, {stage.stage: stage.duration_s.likely * factor for stage in found.stages}, usd)


def test_a_thousand_steps_cost_what_fifteen_to_twenty_minutes_of_an_h100_cost() -> None:
    found = told(USUAL)
    assert found.cost_usd.low == pytest.approx(15 * 60 * PRICE, abs=1e-4)
    assert found.cost_usd.high == pytest.approx(20 * 60 * PRICE, abs=1e-4)
    assert found.based_on == 0


def test_more_steps_and_larger_pictures_cost_more_and_only_the_training_costs_anything() -> None:
    assert told(Plan(steps=2000)).cost_usd.likely > told(Plan(steps=1000)).cost_usd.likely
    assert told(Plan(resolution="1024")).cost_usd.likely > told(Plan()).cost_usd.likely
    assert told(Plan(resolution="512")).cost_usd.likely < told(Plan()).cost_usd.likely
    costs = {stage.stage: stage.cost_usd.likely for stage in told(Plan(publish=True)).stages}
    assert costs[Stage.ZIP_CREATION] == costs[Stage.HUGGINGFACE_UPLOAD] == 0


def test_publishing_takes_as_long_as_the_weights_are_large() -> None:
    small, large = (told(Plan(lora_rank=rank, publish=True)) for rank in (4, 128))
    assert small.stages[2].duration_s.likely < large.stages[2].duration_s.likely
    assert told(Plan(lora_rank=128)).stages[2].duration_s.high < large.stages[2].duration_s.likely


@pytest.mark.parametrize("count", range(MIN_PAST))
def test_too_few_completed_trainings_change_nothing(count: int) -> None:
    found = told(USUAL, [past_at(3.0)] * count)
    assert (found.cost_usd, found.duration_s) == (told(USUAL).cost_usd, told(USUAL).duration_s)
    assert "Fewer than 3 trainings" in found.assumptions[-1]
    assert found.based_on == count


def test_completed_trainings_scale_time_and_cost_each_by_their_median() -> None:
    found = told(USUAL, [past_at(factor, cost=0.5) for factor in (1.5, 2.0, 9.0)])
    assert training_of(found) == pytest.approx(2 * training_of(told(USUAL)), rel=1e-3)
    assert found.cost_usd.likely == pytest.approx(told(USUAL).cost_usd.likely / 2, rel=1e-3)
    assert "The newest 3 trainings" in found.assumptions[-1]
    assert "took 2 (" in found.assumptions[-1]
    assert "cost 0.5 (" in found.assumptions[-1]


def test_what_other_plans_took_is_compared_with_what_was_expected_of_them() -> None:
    past = [past_at(1.0, Plan(steps=steps, resolution="512", image_count=20)) for steps in (100, 2000, 4000)]
    assert training_of(told(USUAL, past)) == pytest.approx(training_of(told(USUAL)), rel=1e-3)


def test_one_training_that_took_for_ever_does_not_stretch_the_estimate_without_bounds() -> None:
    found = told(USUAL, [past_at(1.0)] * 3 + [past_at(1e6)])
    assert training_of(found) == pytest.approx(training_of(told(USUAL)), rel=1e-3)
    assert found.duration_s.high <= 4.001 * found.duration_s.likely


def test_costs_that_nobody_told_do_not_count() -> None:
    found = told(USUAL, [past_at(2.0, cost=None)] * 5)
    assert found.cost_usd == told(USUAL).cost_usd
    assert "cost" not in found.assumptions[-1]


def test_what_is_assumed_is_said() -> None:
    text = " ".join(told(Plan(resolution="1024", publish=True)).assumptions)
    assert "No images are named: 10 are assumed." in text
    assert "A step at 1024" in text
    assert "172 MB" in text
    assert f"{PRICE} USD" in text
    assert "A step at" not in " ".join(told(Plan()).assumptions)


@given(plans, pasts, st.floats(0, 1))
def test_every_estimate_is_in_order_and_its_stages_sum_up(plan: Plan, past: list[Past], price: float) -> None:
    found = estimate(plan, lessons_of(past, price), price)
    for spread in [found.cost_usd, found.duration_s, *(s.duration_s for s in found.stages)]:
        assert 0 <= spread.low <= spread.likely <= spread.high
    assert [stage.stage for stage in found.stages] == list(PIPELINE)
    assert sum(s.duration_s.likely for s in found.stages) == pytest.approx(found.duration_s.likely, abs=0.2)
    assert sum(s.cost_usd.likely for s in found.stages) == pytest.approx(found.cost_usd.likely, abs=1e-3)
