#!/usr/bin/env bash
# aiida-core 2.9.4: a computer of core.ssh that Python configures knows no host, whatever ~/.ssh/known_hosts holds, and
# its connection is refused ("not found in known_hosts"); one that `verdi computer configure` configures knows them all.
#
# The defaults of a transport's options (load_system_host_keys: True, compress: True, ...) are those of the prompts of
# the command line alone. Computer.configure() of the Python interface stores what it is given, and for what is left
# out the transport has other defaults of its own: False for both.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export AIIDA_PATH="$folder/aiida" HOME="$folder/home"
mkdir -p "$AIIDA_PATH" "$HOME/.ssh"
python3 -m venv "$folder/environment"
"$folder/environment/bin/pip" install -qq --disable-pip-version-check aiida-core==2.9.4
"$folder/environment/bin/verdi" profile setup core.sqlite_dos -n --profile-name finding --email a@example.org \
    --first-name A --last-name B --institution C --no-use-rabbitmq >"$folder/setup.log" 2>&1 ||
    { cat "$folder/setup.log"; exit 1; }

cat >"$folder/look.py" <<'PY'
import subprocess
import sys
from pathlib import Path

import aiida
from aiida import load_profile, orm
from paramiko import ECDSAKey

load_profile()
key = ECDSAKey.generate()
known = Path.home() / ".ssh" / "known_hosts"
known.write_text(f"login.example.org {key.get_name()} {key.get_base64()}\n")


def computer(label):
    made = orm.Computer(
        label=label,
        hostname="login.example.org",
        transport_type="core.ssh",
        scheduler_type="core.direct",
        workdir="/scratch",
    )
    return made.store()


by_python, by_verdi = computer("by-python"), computer("by-verdi")
by_python.configure(username="me")
verdi = str(Path(sys.executable).with_name("verdi"))
command = [verdi, "computer", "configure", "core.ssh", "by-verdi", "--non-interactive", "--username", "me"]
subprocess.run(command, check=True, capture_output=True)
found = {
    one.label: sorted(one.get_transport()._client._system_host_keys)
    for one in (by_python, orm.load_computer("by-verdi"))
}
print(f"aiida-core {aiida.__version__}: hosts that a connection knows: {found}")
assert aiida.__version__ == "2.9.4"
assert found["by-verdi"] == ["login.example.org"], found
assert found["by-python"] == [], "it knows them now"
PY
"$folder/environment/bin/python" "$folder/look.py"
