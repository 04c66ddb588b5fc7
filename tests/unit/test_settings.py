"""Settings are one documented table, read whole or refused in sentences."""

from pathlib import Path

import pytest

from shared.settings import Settings, SettingsFault, load, require, settings_table

ROOT = Path(__file__).parents[2]


def test_the_documented_table_is_the_one_the_code_has():
    assert settings_table() in (ROOT / "docs" / "settings.md").read_text("utf-8")


def test_every_setting_says_what_it_means():
    assert all(field.description and field.description.endswith(".") for field in Settings.model_fields.values())


def test_variables_reach_their_fields(monkeypatch):
    monkeypatch.setenv("MILEPOST_FETCH_SIZE", "17")
    monkeypatch.setenv("MILEPOST_WEBHOOK_PORTS", "443, 8443")
    monkeypatch.setenv("MILEPOST_RETRY_SCHEDULE_S", "0,2.5,60")
    settings = load()
    assert settings.fetch_size == 17
    assert settings.webhook_ports == {443, 8443}
    assert settings.retry_schedule_s == (0, 2.5, 60)


def test_an_empty_variable_leaves_the_default(monkeypatch):
    monkeypatch.setenv("MILEPOST_FETCH_SIZE", "")
    assert load().fetch_size == Settings.model_fields["fetch_size"].default


def test_overrides_beat_the_environment(monkeypatch):
    monkeypatch.setenv("MILEPOST_FETCH_SIZE", "17")
    assert load(fetch_size=18).fetch_size == 18


def test_a_misspelt_variable_is_named(monkeypatch):
    monkeypatch.setenv("MILEPOST_FETCHSIZE", "17")
    with pytest.raises(SettingsFault, match="MILEPOST_FETCHSIZE: no such setting"):
        load()


def test_every_fault_is_one_line_with_its_variable(monkeypatch):
    monkeypatch.setenv("MILEPOST_FETCH_SIZE", "many")
    monkeypatch.setenv("MILEPOST_LANES", "9")
    with pytest.raises(SettingsFault) as fault:
        load()
    lines = str(fault.value).splitlines()
    assert sorted(line.split(":")[0] for line in lines) == ["MILEPOST_FETCH_SIZE", "MILEPOST_LANES"]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("DATABASE_URL", "postgres://u:hush@h/d", "postgresql+asyncpg://"),
        ("NATS_URL", "http://hush@h", "nats://HOST:PORT"),
        ("NATS_MONITOR_URL", "nats://hush", "http://HOST:PORT"),
        ("SECRET_KEY", "hush", "hex"),
        ("SECRET_KEY", "ab" * 31, "32 bytes"),
        ("SECRET_KEY", "ab" * 33, "32 bytes"),
        ("PSEUDONYM_KEY", "ab" * 31, "32 bytes"),
        ("WEBHOOK_PORTS", "443,0", "80,443"),
        ("WEBHOOK_PORTS", ",", "80,443"),
        ("RETRY_SCHEDULE_S", "5,-1", "0,5,300"),
    ],
)
def test_a_fault_says_what_was_expected_and_never_the_value(monkeypatch, name, value, expected):
    monkeypatch.setenv(f"MILEPOST_{name}", value)
    with pytest.raises(SettingsFault) as fault:
        load()
    assert f"MILEPOST_{name}: " in str(fault.value)
    assert expected in str(fault.value)
    assert "hush" not in str(fault.value)


def test_secrets_are_not_shown_when_settings_are_printed():
    settings = Settings(
        database_url="postgresql+asyncpg://milepost:hush@h/d",
        nats_url="nats://service:hush@h",
        secret_key="ab" * 32,
        pseudonym_key="cd" * 32,
    )
    shown = repr(settings) + str(settings)
    assert not any(secret in shown for secret in ("hush", "abab", "cdcd"))


def test_what_a_service_cannot_do_without_is_named():
    with pytest.raises(SettingsFault, match="MILEPOST_DATABASE_URL, MILEPOST_SECRET_KEY: not set"):
        require(Settings(nats_url="nats://h"), "database_url", "nats_url", "secret_key")


def test_settings_pass_whole_through_an_environment(monkeypatch):
    settings = Settings(webhook_ports=frozenset({80, 8443}), retry_schedule_s=(0, 0.1, 1e6), allow_loopback_webhooks=True, host="::1")
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    assert load() == settings
