"""The port through which the fold asks whether a session was clean."""

from typing import Protocol as Port

from services.decision.core.sessions import Session


class Judging(Port):
    def cleaned(self, session: Session) -> Session:
        """The session, which nobody keeps yet, with `clean` judged by its protocol's own conditions over the session's facts."""
        ...
