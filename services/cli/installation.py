"""The settings that a command works with: those of the environment, or of the stack that runs on the data directory."""

from services.cli.terminal import stop
from services.embedded import running
from shared.settings import Settings, load, require


def settings_of(command: str, *needed: str) -> Settings:
    """Settings that name a database; leaves with a sentence when nothing runs and nothing is named. `needed` must be set too."""
    settings = reachable()
    if settings is None:
        stop(f"milepost {command}: nothing runs on {load().data_dir}; start `milepost up`, or set MILEPOST_DATABASE_URL")
    require(settings, *needed)
    return settings


def reachable() -> Settings | None:
    """The same, or None when nothing runs and nothing is named."""
    settings = load()
    if settings.database_url:
        return settings
    environment = running(settings.data_dir.resolve())
    if environment is None:
        return None
    known = Settings.model_fields
    named = {name.removeprefix("MILEPOST_").lower(): value for name, value in environment.items() if name.startswith("MILEPOST_")}
    return Settings.model_validate({name: value for name, value in named.items() if name in known and value != ""})
