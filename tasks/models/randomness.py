"""One door to torch's global random generator, so that threads cannot disturb each other's draws.

`nn.Dropout` and weight initialisation draw from the one generator of the process. Fine-tunings that run in threads of
one process would interleave their draws and never give the same weights twice: whoever draws, draws alone.
"""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_ALONE = threading.RLock()


@contextmanager
def seeded(*numbers: int) -> Iterator[None]:
    """Draw from torch's generator as if it had just been seeded with `numbers`; afterwards it is as it was.

    Other threads wait at this door until the block ends; the thread that is inside may enter again.
    """
    with _ALONE, torch.random.fork_rng(devices=[]):
        reseed(*numbers)
        yield


def reseed(*numbers: int) -> None:
    """Start torch's CPU generator anew; only inside `seeded`."""
    torch.default_generator.manual_seed(derived_seed(*numbers))


def derived_seed(*numbers: int) -> int:
    """One seed out of several numbers, far apart for neighbours: (seed, epoch) and (seed, epoch + 1).

    >>> derived_seed(0, 1) != derived_seed(1, 0)
    True
    """
    return int.from_bytes(hashlib.sha256(repr(numbers).encode()).digest()[:8], "big") >> 1
