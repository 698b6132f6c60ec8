#!/usr/bin/env bash
# pytest 9.2 and pytest-xdist 3.8: `--dist loadgroup` runs, and tests of one group land on several workers.
#
# xdist's worker appends the group to `item._nodeid`; pytest 9.2 makes node ids from `item._id` and never reads that
# attribute, so the scheduler sees ids without a group. No error, no warning: module fixtures are made more than once,
# and tests that must not run side by side do. With pytest 9.0 the same files keep a group on one worker.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/test_groups.py" <<'PY'
import os
import time

import pytest


@pytest.mark.xdist_group("one")
@pytest.mark.parametrize("number", range(8))
def test_of_one_group(number):
    time.sleep(0.2)
    with open(os.environ["SEEN"], "a") as file:
        file.write(os.environ["PYTEST_XDIST_WORKER"] + "\n")
PY

workers_with() {
    local environment="$folder/pytest-$1"
    python3 -m venv "$environment"
    "$environment/bin/pip" install -q --disable-pip-version-check "pytest==$1" pytest-xdist==3.8.0
    SEEN="$folder/seen-$1" "$environment/bin/python" -m pytest -q -p no:cacheprovider -n 2 --dist loadgroup \
        "$folder/test_groups.py" >"$folder/log-$1" 2>&1
    sort -u "$folder/seen-$1" | wc -l
}

old=$(workers_with 9.0.2)
new=$(workers_with 9.2.0)
echo "pytest 9.0.2, pytest-xdist 3.8.0: one group ran on $old worker(s)"
echo "pytest 9.2.0, pytest-xdist 3.8.0: one group ran on $new worker(s)"
[ "$old" -eq 1 ] && [ "$new" -eq 2 ]
