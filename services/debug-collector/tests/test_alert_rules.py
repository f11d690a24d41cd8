"""What an operator writes: rules, durations, quiet hours, addresses. What is wrong stops the service."""

import logging
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from fluxline.runtime.redaction import redact_text
from fluxline.runtime.settings import load
from fluxline_collector.alerts.channel_urls import channel_urls, secret_parts, service_at
from fluxline_collector.alerts.channels import channels_of
from fluxline_collector.alerts.durations import about, seconds
from fluxline_collector.alerts.quiet import QuietHours, quiet_hours
from fluxline_collector.alerts.rule_file import default_rules, rules_from
from fluxline_collector.settings import CollectorSettings

TOKEN = "JHMHI8qBe7bk2ZwO5U711o3dV_js"
DISCORD = f"discord://4174216298/{TOKEN}"
GUIDE = Path(__file__).parents[3] / "docs" / "alerts.md"
STUCK = 'name = "x"\nkind = "stuck"\nseverity = "info"\nremedy = "Look."\n'


def rules_in(folder: Path, text: str) -> Path:
    path = folder / "rules.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(("text", "expected"), [("90s", 90), ("5m", 300), ("1h30m", 5400), ("2d", 172_800), ("0s", 0)])
def test_a_duration_has_units(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", [5, 5.0, "5", "5 m", "5min", "", "m", "-5m", "5m1h", "91d", None])
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="must be"):
        seconds(text)


@pytest.mark.parametrize(
    ("span_s", "text"),
    [(0, "1 s"), (59, "59 s"), (60, "1 min"), (3540, "59 min"), (7200, "2 h"), (86_400 * 3, "3 days")],
)
def test_a_span_is_said_as_short_as_it_may_be(span_s: float, text: str) -> None:
    assert about(span_s) == text


def test_the_default_rules_cover_every_kind() -> None:
    kinds = {rule.kind for rule in default_rules().rules}
    assert kinds == {"failure", "rate", "stuck", "dead_letters", "lag", "loss"}
    assert all(rule.condition() and rule.remedy for rule in default_rules().rules)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("", "kind"),
        (f"{STUCK}sevirity = 1\n", "sevirity: Extra inputs"),
        (f"{STUCK}for = 5\n", "rule 1, for: must be a duration"),
        (f'{STUCK}for = "5 minutes"\n', "like 90s, 5m"),
        (f'{STUCK}stage = "publishing"\n', "stage.0: Input should be 'zip_creation'"),
        (f'{STUCK}repeat_after = "0s"\n', "repeat_after and resolve_after must be 1m or more"),
        (STUCK.replace("info", "fatal"), "severity: Input should be 'info', 'warning' or 'critical'"),
        (STUCK.replace('"Look."', '" "'), "remedy: String should have at least 1 character"),
        (STUCK.replace("stuck", "lag"), "needs messages, age, or both"),
        (STUCK.replace("stuck", "lag") + 'messages = 5\ndurable = "trainr"\n', "durable.0: must be one of collector"),
        (STUCK.replace("stuck", "dead_letters"), "needs either at_least"),
        (STUCK.replace("stuck", "rate") + "at_least = 3\n", "rule 1, window: Field required"),
        (STUCK.replace("stuck", "rate") + 'at_least = 3\nwindow = "2d"\n', "window must be from 1m to 1d"),
        (STUCK.replace("stuck", "failure") + 'for = "1m"\n', "for has no meaning here"),
        (STUCK.replace("stuck", "broken"), "rule 1: Input tag 'broken'"),
        (f"{STUCK}[[rules]]\n{STUCK}", "the name x is given to more than one rule"),
        ("x = ", "is no TOML"),
    ],
)
def test_a_wrong_rule_is_named_with_its_place(tmp_path: Path, change: str, complaint: str) -> None:
    with pytest.raises(ValueError) as refusal:
        rules_from(rules_in(tmp_path, f"[[rules]]\n{change}"))
    assert complaint in str(refusal.value)
    assert "rules.toml" in str(refusal.value)


@pytest.mark.parametrize("text", ["", "rules = []"])
def test_a_file_without_rules_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match="rules"):
        rules_from(rules_in(tmp_path, text))


def test_the_example_of_the_guide_is_valid_and_complete(tmp_path: Path) -> None:
    example = GUIDE.read_text().partition("```toml\n")[2].partition("```")[0]
    rules = rules_from(rules_in(tmp_path, example)).rules
    assert {rule.kind for rule in rules} == {"failure", "rate", "stuck", "dead_letters", "lag", "loss"}


def test_the_guides_table_lists_the_default_rules() -> None:
    guide = GUIDE.read_text()
    for rule in default_rules().rules:
        assert f"| `{rule.name}` | {rule.severity} |" in guide


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [
        ("COLLECTOR_ALERT_RULES", "/nowhere/rules.toml", "cannot be read (No such file or directory)"),
        ("COLLECTOR_ALERT_URLS", f"{DISCORD} disco://{TOKEN}", "entry 2 is no address that apprise can use"),
        ("COLLECTOR_ALERT_URLS", TOKEN, "entry 1 is no address like"),
        ("COLLECTOR_ALERT_URLS", f"urgent={DISCORD}", "entry 1 has something else before the = than"),
        ("COLLECTOR_ALERT_QUIET", "10pm-7am", "must look like 22:00-07:00 Europe/Berlin"),
        ("COLLECTOR_ALERT_QUIET", "22:00-07:00 Europe/Atlantis", "is no time zone"),
        ("COLLECTOR_ALERT_QUIET", "22:00-07:00 ../etc/passwd", "is no time zone"),
        ("COLLECTOR_ALERT_QUIET", "22:00-22:00", "must end at another time"),
        ("COLLECTOR_ALERT_QUIET", "25:00-07:00", "is no time of the day"),
    ],
)
def test_a_wrong_setting_stops_the_service_with_the_remedy_and_without_a_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str, value: str, complaint: str
) -> None:
    for name, text in (("NATS_URL", "nats://x"), ("DATABASE_URL", "postgresql://x/y"), ("COLLECTOR_TOKEN", "t" * 16)):
        monkeypatch.setenv(name, text)
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as end:
        load(CollectorSettings)
    said = capsys.readouterr().err
    assert (end.value.code, complaint in said, f"{variable}: " in said, "→ set it to" in said) == (78, True, True, True)
    assert TOKEN not in said


def test_settings_without_alerts_have_the_default_rules_and_no_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in (("NATS_URL", "nats://x"), ("DATABASE_URL", "postgresql://x/y"), ("COLLECTOR_TOKEN", "t" * 16)):
        monkeypatch.setenv(name, text)
    settings = CollectorSettings()
    assert (settings.alert_rules, settings.alert_urls, settings.alert_quiet) == (default_rules(), (), None)


def test_addresses_may_be_for_some_severities_and_are_never_shown() -> None:
    found = channel_urls(f"json://127.0.0.1:9/a\n critical,warning={DISCORD}")
    assert [one.severities for one in found] == [("info", "warning", "critical"), ("critical", "warning")]
    channels = channels_of(found, "secret")
    assert [channel.name for channel in channels] == ["json 1", "discord 2"]
    assert TOKEN not in f"{found!r} {channels!r} {[vars(one) | {'_service': None} for one in channels]}"


def test_the_parts_of_an_address_are_taken_out_of_every_text() -> None:
    channels_of(channel_urls(f"{DISCORD} mailto://ops:pa55%2Fword-x@mail.example.com"), "secret")
    text = redact_text(f"POST /x/{TOKEN} by pa55/word-x or pa55%2Fword-x at mail.example.com")
    assert text == "POST /x/[redacted] by [redacted] or [redacted] at mail.example.com"
    assert secret_parts("mailto://ops@mail.example.com") == set()


def test_a_channel_keeps_its_key_and_a_repeated_one_is_there_once() -> None:
    one = channels_of(channel_urls(DISCORD), "secret")[0]
    moved, *more = channels_of(channel_urls(f"{DISCORD} {DISCORD}"), "secret")
    assert (moved.key, more) == (one.key, [])
    assert channels_of(channel_urls(DISCORD), "other")[0].key != one.key


def test_apprise_logs_nothing_at_any_level() -> None:
    """It would log the token of an address that is not valid. (pytest's own handler sees what goes nowhere else.)"""
    lines = StringIO()
    handler, root = logging.StreamHandler(lines), logging.getLogger()
    root.addHandler(handler)
    level = root.level
    root.setLevel(1)
    try:
        assert service_at(DISCORD) is not None
        assert service_at(f"slack://{TOKEN}") is None
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    assert lines.getvalue() == ""


BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = quiet_hours("22:00-07:00 Europe/Berlin")


def at(text: str, zone: ZoneInfo = BERLIN, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold)


@pytest.mark.parametrize(
    ("clock", "quiet"),
    [
        ("21:59", False),
        ("22:00", True),
        ("23:59", True),
        ("00:00", True),
        ("06:59", True),
        ("07:00", False),
        ("12:00", False),
    ],
)
def test_quiet_hours_go_over_midnight(clock: str, quiet: bool) -> None:
    assert isinstance(NIGHT, QuietHours)
    assert NIGHT.hold_at(at(f"2026-11-25T{clock}")) is quiet


def test_quiet_hours_within_a_day_and_in_utc() -> None:
    lunch = quiet_hours(" 12:00-13:30 ")
    assert lunch is not None
    assert str(lunch) == "12:00-13:30 UTC"
    assert [lunch.hold_at(datetime(2026, 7, 1, hour, 15, tzinfo=UTC)) for hour in (11, 12, 13, 14)] == [
        False, True, True, False,
    ]  # fmt: skip
    assert quiet_hours("") is None


@pytest.mark.parametrize(
    ("evening", "hours"), [("2026-03-28", 8), ("2026-10-24", 10), ("2026-07-01", 9), ("2026-12-31", 9)]
)
def test_a_night_is_as_long_as_its_clocks_say(evening: str, hours: int) -> None:
    """The clocks of Berlin go forward in the night to 29 March 2026, and back in the night to 25 October."""
    assert isinstance(NIGHT, QuietHours)
    noon = at(f"{evening}T12:00").astimezone(UTC)
    minutes = [noon + timedelta(minutes=minute) for minute in range(24 * 60)]
    assert sum(NIGHT.hold_at(minute) for minute in minutes) == hours * 60
