"""What is learned about one request on its way to an answer."""

from dataclasses import dataclass

from deployments.serving.access.caller import NOBODY, Caller
from deployments.serving.library import Served
from deployments.serving.question import Arrays, Question


@dataclass(slots=True)
class Note:
    """What is learned about a request while it is answered: for the books and the headers, never for the answer."""

    caller: Caller = NOBODY
    model: str = ""
    """As the path has it: a client's word."""
    version: str = ""
    """Set once a version that is served answers."""
    rows: int = 0
    body_bytes: int = 0
    run_seconds: float = 0.0
    """What its rows took of the session's time."""
    endpoint: str = ""
    """The name of the handler; empty until a path was found."""
    parse: float = 0.0
    """Seconds from the body's end to a question that fits."""
    queue: float = 0.0
    """Seconds that the question waited for its run."""
    run: float = 0.0
    """Seconds of the run, which it may have shared."""
    write: float = 0.0
    """Seconds from the outputs to the reply's bytes."""
    asked: tuple[Served, Question, Arrays] | None = None
    """What was answered, by whom and with what, for those who look at it afterwards."""

    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """`X-Model-Version`, and the parts as `Server-Timing` tells them, in milliseconds."""
        version = (b"x-model-version", self.version.encode())
        if not self.rows:
            return (version,) if self.version else ()
        parts = (self.parse * 1e3, self.queue * 1e3, self.run * 1e3, self.write * 1e3)
        return version, (b"server-timing", b"parse;dur=%.3f, queue;dur=%.3f, run;dur=%.3f, write;dur=%.3f" % parts)
