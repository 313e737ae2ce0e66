"""The chain append, done, send, append, acknowledge, database: two hundred kills and power cuts.

The program is tests/chain/chain, built beside lotline; ./check runs eight rounds of it as a unit
test, this is the long one.
"""

import os
import subprocess

import pytest

from conftest import PROGRAM

CHAIN = PROGRAM.parent / "tests" / "chain" / "chain"
ROUNDS = int(os.environ.get("LOTLINE_CHAIN_ROUNDS", "200"))


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_nothing_acknowledged_is_lost_or_doubled(tmp_path):
    if not CHAIN.is_file():
        pytest.skip(f"{CHAIN} is not built")
    done = subprocess.run([CHAIN, "run", str(ROUNDS)], capture_output=True, text=True,
                          cwd=tmp_path, timeout=1100)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 lost, 0 twice, 0 wrong" in done.stdout
