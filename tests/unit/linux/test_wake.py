"""Waking a thread that waits for descriptors."""

import select
from contextlib import closing

from vpcrouter.linux.wake import WakeFd


def test_it_is_readable_from_the_first_waking_until_it_is_cleared() -> None:
    with closing(WakeFd()) as wake:
        assert not wake.clear()
        wake.wake()
        wake.wake()
        assert select.select([wake], [], [], 0)[0] == [wake]
        assert wake.clear()
        assert not select.select([wake], [], [], 0)[0]
        assert not wake.clear()
