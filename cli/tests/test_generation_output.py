"""What `fluxline generate` says of who made the images."""

from fluxline_cli.generations import told


def test_providers_that_declined_come_before_the_one_that_made_the_images() -> None:
    declined = {"provider": "replicate", "category": "billing", "message": "no\x1b[2Jcredit"}
    assert told({"provider": "fal", "seed": 7, "refusals": [declined]}) == [
        "replicate declined (billing): no [2Jcredit",
        "made by fal, seed 7",
    ]


def test_what_is_not_known_is_not_said() -> None:
    assert told({"provider": None, "seed": None, "refusals": []}) == []
    assert told({"provider": "fal", "seed": None, "refusals": []}) == ["made by fal"]
