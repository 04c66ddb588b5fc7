"""Both servers of one data directory, as one thing to start and stop."""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from services.embedded.files import own_secrets, sole_use
from services.embedded.nats import NatsServer
from services.embedded.postgres import PostgresServer
from shared.settings import PREFIX


class EmbeddedServers:
    """`async with EmbeddedServers(data_dir) as servers`: NATS and PostgreSQL run inside, and have stopped after.

    What an earlier, killed run left behind is stopped first. Raises `ServerFault`, also when another milepost holds the directory.
    Enter it from a thread that lives as long as the servers should: they end with that thread, even when it is killed.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.resolve()
        self._held = ExitStack()
        self.nats: NatsServer
        self.postgres: PostgresServer

    async def __aenter__(self) -> "EmbeddedServers":
        self._held.enter_context(sole_use(self.data_dir))
        try:
            self._secrets = own_secrets(self.data_dir)
            self.nats = NatsServer(self.data_dir, self._secrets)
            self.postgres = PostgresServer(self.data_dir, self._secrets)
            await self.postgres.start()
            await self.nats.start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        await self._stop()

    def fields(self) -> dict[str, str]:
        """The fields of `shared.settings.Settings` with which services reach these servers, secrets included."""
        return {
            "database_url": self.postgres.url,
            "owner_database_url": self.postgres.owner_url,
            "eraser_database_url": self.postgres.eraser_url,
            "nats_url": self.nats.url,
            "eraser_nats_url": self.nats.eraser_url,
            "owner_nats_url": self.nats.owner_url,
            "nats_monitor_url": self.nats.monitor_url,
            "data_dir": str(self.data_dir),
            "pseudonym_key": self._secrets.pseudonym_key,
            "secret_key": self._secrets.secret_key,
        }

    def settings(self) -> dict[str, str]:
        """The same as `MILEPOST_*` variables, for another process."""
        return {PREFIX + name.upper(): value for name, value in self.fields().items()}

    async def _stop(self) -> None:
        # The bus first: what it acknowledged is on disk, and nothing new should reach the store after it.
        try:
            if hasattr(self, "nats"):
                await self.nats.stop()
            if hasattr(self, "postgres"):
                await self.postgres.stop()
        finally:
            self._held.close()
