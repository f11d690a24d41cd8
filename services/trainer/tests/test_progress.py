"""The trainer's log, as it looks at every moment of a training."""

import pytest

from fluxline_trainer.job import Job, JobState
from fluxline_trainer.progress import Progress, log_tail, parse_progress
from fluxline_trainer.watch import is_news
from streams import requested

BAR = "flux_train_replicate:  52%|█████▏    | 517/1000 [08:01<07:30,  1.07it/s, lr: 4.0e-04 loss: 3.456e-01]"
PREPARING = (
    "Downloading input images\n"
    "Extracted 24 files from zip to input_images\n"
    "\rCaching latents to disk:   0%|          | 0/12 [00:00<?, ?it/s]"
    "\rCaching latents to disk: 100%|██████████| 12/12 [00:09<00:00,  1.28it/s]\n"
)
BEGUN = (
    PREPARING
    + "Saving config\nStarting train job\nflux_train_replicate:   0%|          | 0/1000 [00:00<?, ?it/s]"
    + "\rflux_train_replicate:   0%|          | 0/1000 [00:01<?, ?it/s, lr: 4.0e-04 loss: 6.301e-01]"
)
MIDWAY = BEGUN + "\r" + BAR + "\nSaved to output/flux_train_replicate/optimizer.pt\n"
SAMPLING = MIDWAY + "\rGenerating Images:  50%|█████     | 1/2 [00:07<00:07,  7.51s/it]\n"
ENDED = (
    SAMPLING
    + "\rflux_train_replicate: 100%|██████████| 1000/1000 [15:31<00:00,  1.07it/s, lr: 4.0e-04 loss: 2.801e-01]\n"
    + "Saved to output/flux_train_replicate/flux_train_replicate.safetensors\nTraining complete\n"
)


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("", Progress("starting")),
        ("\n\r\n", Progress("starting")),
        (PREPARING, Progress("preparing")),
        (BEGUN, Progress("training", 0.0, 0, 1000, 0.6301, None)),
        (MIDWAY, Progress("training", 51.7, 517, 1000, 0.3456, 450.0)),
        (SAMPLING, Progress("training", 51.7, 517, 1000, 0.3456, 450.0)),
        (ENDED, Progress("training", 100.0, 1000, 1000, 0.2801, 0.0)),
    ],
    ids=["nothing", "blank", "preparing", "begun", "midway", "sampling", "ended"],
)
def test_progress_is_that_of_the_jobs_last_bar(log: str, expected: Progress) -> None:
    assert parse_progress(log) == expected


@pytest.mark.parametrize(
    ("bar", "expected"),
    [
        ("flux_train_replicate: 10%|█ | 100/1000 [1:00:00<9:01:05, 36.0s/it]", (100, None, 32465.0)),
        ("flux_train_replicate: 10%|# | 100/1000 [10:00<90:00, 6.00s/it, lr: 1.0e-05 loss: 1]", (100, 1.0, 5400.0)),
        ("flux_train_replicate: 10%|# | 100/1000 [10:00<90:00, 6.00s/it, loss: nan]", (100, None, 5400.0)),
    ],
)
def test_other_shapes_of_the_bar_are_read(bar: str, expected: tuple[int, float | None, float]) -> None:
    progress = parse_progress(bar)
    assert (progress.step, progress.loss, progress.eta_s) == expected


@pytest.mark.parametrize(
    "log",
    ["flux_train_replicate: 0%|| 5/0 [00:00<?]", "flux_train_replicate: 200%|| 20/10 [00:00<00:00]", "|" * 100_000],
)
def test_nonsense_is_no_progress_and_no_error(log: str) -> None:
    assert parse_progress(log).percent == 0


def test_every_prefix_of_a_log_is_read_and_tells_no_less_than_a_shorter_one() -> None:
    percents = [parse_progress(ENDED[:length]).percent for length in range(len(ENDED))]
    assert percents == sorted(percents)


def test_the_tail_shows_lines_as_a_terminal_would() -> None:
    tail = log_tail(ENDED)
    assert tail[0] == "Downloading input images"
    assert tail[-2:] == ("Saved to output/flux_train_replicate/flux_train_replicate.safetensors", "Training complete")
    assert sum("flux_train_replicate:" in line for line in tail) == 2


def test_the_tail_is_short_plain_and_without_secrets() -> None:
    tail = log_tail("\n".join(f"line {n}" for n in range(100)) + "\n\x1b[31mtoken r8_abcdefghijklmnop " + "x" * 1000)
    assert len(tail) == 20
    assert len(tail[-1]) == 300
    assert "\x1b" not in tail[-1]
    assert "r8_abc" not in tail[-1]


@pytest.mark.parametrize(
    ("seen", "news"),
    [
        (Progress("training", 40.0, 400), True),
        (Progress("training", 30.0, 301), True),
        (Progress("training", 30.0, 300), False),
        (Progress("training", 29.9, 299), False),
        (Progress("preparing"), False),
    ],
)
def test_only_what_goes_on_is_news(seen: Progress, news: bool) -> None:
    event = requested()
    job = Job(event.training_id, JobState.TRAINING, event, percent=30.0, step=300, phase="training")
    assert is_news(seen, job) is news
