"""What is noted of one request on its way: whose question it was, and how long each part of the answer took."""

from deployments.serving.library import Served
from deployments.serving.question import Arrays, Question


class Trace:
    """Notes of one request, kept as plain attributes: they are written on the hot path.

    Attributes:
        endpoint: The name of the handler; empty until a path was found.
        model: Empty until a version was found.
        version: Likewise.
        rows: How many rows were asked about.
        parse: Seconds from the body's end to a question that fits.
        queue: Seconds that the question waited for its run.
        run: Seconds of the run, which it may have shared.
        asked: What was answered, by whom and with what, for those who look at it afterwards; None without an answer.
        write: Seconds from the outputs to the reply's bytes.
    """

    __slots__ = ("asked", "endpoint", "model", "parse", "queue", "rows", "run", "version", "write")

    def __init__(self) -> None:
        self.endpoint = self.model = self.version = ""
        self.asked: tuple[Served, Question, Arrays] | None = None
        self.rows = 0
        self.parse = self.queue = self.run = self.write = 0.0

    def of(self, served: Served) -> None:
        """Notes which version answers."""
        self.model, self.version = served.model, served.version

    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """`X-Model-Version`, and the parts as `Server-Timing` tells them, in milliseconds."""
        if not self.rows:
            return ((b"x-model-version", self.version.encode()),) if self.version else ()
        timing = b"parse;dur=%.3f, queue;dur=%.3f, run;dur=%.3f, write;dur=%.3f" % (
            self.parse * 1e3,
            self.queue * 1e3,
            self.run * 1e3,
            self.write * 1e3,
        )
        return (b"x-model-version", self.version.encode()), (b"server-timing", timing)
