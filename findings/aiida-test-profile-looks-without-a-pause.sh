#!/usr/bin/env bash
# aiida-core 2.9.4: in a test profile, as the fixtures of `aiida.tools.pytest_fixtures` make them, a workchain that is run
# in the process (`run`, `run_get_node`) and waits for a calculation takes half of a core and more while it waits, and
# asks the database hundreds of times a second, as fast as it answers, whether the calculation has ended. The same run in
# the same profile takes a tenth of that once the profile no longer says that it is one of tests.
#
# A runner looks at what a workchain waits for at an interval that is `runner.poll.interval`, one second, and zero in a
# test profile, whatever that option says. A test that waits for real programs keeps them from the core that it waits on.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export AIIDA_PATH="$folder/aiida" PYTHONPATH="$folder"
mkdir -p "$AIIDA_PATH"
python3 -m venv "$folder/environment"
"$folder/environment/bin/pip" install -qq --disable-pip-version-check aiida-core==2.9.4 pytest
export PATH="$folder/environment/bin:$PATH"
verdi --version

cat >"$folder/waits.py" <<'END'
from aiida.engine import ToContext, WorkChain
from aiida.orm import AbstractCode, Int
from aiida.plugins import CalculationFactory


class Waits(WorkChain):
    @classmethod
    def define(cls, spec):
        super().define(spec)
        spec.input("code", valid_type=AbstractCode)
        spec.outline(cls.wait, cls.end)

    def wait(self):
        builder = CalculationFactory("core.arithmetic.add").get_builder()
        builder.code, builder.x, builder.y = self.inputs.code, Int(1), Int(2)
        builder.metadata.options.sleep = 15
        return ToContext(sum=self.submit(builder))

    def end(self):
        assert self.ctx.sum.is_finished_ok
END
cat >"$folder/test_waits.py" <<'END'
import time

import pytest
from aiida.engine import run_get_node
from aiida.engine.runners import Runner
from aiida.manage import get_manager
from waits import Waits

pytest_plugins = "aiida.tools.pytest_fixtures"


@pytest.fixture
def measured(aiida_profile_clean, aiida_localhost, aiida_code_installed, monkeypatch):
    aiida_localhost.set_minimum_job_poll_interval(1)
    code = aiida_code_installed("core.arithmetic.add", filepath_executable="/bin/bash", computer=aiida_localhost)
    looks, real = [], Runner._poll_process

    def counted(*arguments):
        looks.append(arguments)
        return real(*arguments)

    monkeypatch.setattr(Runner, "_poll_process", counted)

    def measure():
        looks.clear()
        start, used = time.monotonic(), time.process_time()
        _, node = run_get_node(Waits, code=code)
        took, used = time.monotonic() - start, time.process_time() - used
        assert node.is_finished_ok
        print(f"{len(looks)} looks in {took:.0f} s, with {used:.1f} s of the processor")
        return len(looks) / took, used / took

    return measure


def test_waits(measured):
    profile = get_manager().get_profile()
    assert profile.is_test_profile
    looks, share = measured()
    profile.is_test_profile = False
    few, little = measured()
    assert looks > 100 > 5 > few
    assert share > 3 * little
END
pytest -q -s -p no:cacheprovider "$folder/test_waits.py" -W ignore
