#!/usr/bin/env bash
# aiida-core 2.9.4 with core.psql_dos: once PostgreSQL has been restarted, a process that has looked at a node before
# cannot look at it any more, however long the server is back. The first look says that the connection was closed, each
# later one "Can't reconnect until invalid transaction is rolled back" (PendingRollbackError), for nobody rolls back.
#
# Attributes and extras are read in a transaction that stays open in the one session of the process. In a worker of the
# daemon this means that none of its processes goes on: `verdi daemon status` shows a worker that runs, and what it has
# waits for ever. Only session.rollback(), or another process, helps. A QueryBuilder that counts recovers by itself.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export AIIDA_PATH="$folder/aiida"
mkdir -p "$AIIDA_PATH"
chmod 755 "$folder" # the server runs as another user where this runs as root
python3 -m venv "$folder/environment"
"$folder/environment/bin/pip" install -qq --disable-pip-version-check aiida-core==2.9.4 pgserver==0.1.4

cat >"$folder/look.py" <<'PY'
import socket
import subprocess
import sys
from pathlib import Path

import aiida
import pgserver

server = pgserver.get_server(Path(sys.argv[1]), cleanup_mode="stop")
verdi = str(Path(sys.executable).with_name("verdi"))
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]


def restart():
    listens = f"-h 127.0.0.1 -p {port} -k {server.pgdata}"
    pgserver._commands.pg_ctl(["-w", "-m", "fast", "-o", listens, "restart"], pgdata=server.pgdata, user=server.system_user)


restart()
options = {
    "profile-name": "finding", "email": "a@example.org", "first-name": "A", "last-name": "B", "institution": "C",
    "database-hostname": "127.0.0.1", "database-port": port, "database-name": "postgres", "database-username": "postgres",
    "database-password": "none", "repository-uri": f"file://{Path(sys.argv[1]).with_name('repository')}",
}
words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
command = [verdi, "profile", "setup", "core.psql_dos", "-n", "--no-use-rabbitmq", *words]
done = subprocess.run(command, capture_output=True, text=True)
assert done.returncode == 0, done.stdout + done.stderr

aiida.load_profile("finding")
from aiida import orm
from aiida.manage import get_manager


process = orm.WorkChainNode()
process.base.extras.set("seen", 1)
process.store()


def look():
    try:
        return process.base.extras.get("seen")
    except Exception as error:
        return type(error).__name__


before = look()
restart()
after = [look() for _ in range(4)]
get_manager().get_profile_storage().get_session().rollback()
rolled_back = look()
print(f"aiida-core {aiida.__version__}: before {before}, after a restart {after}, after a rollback {rolled_back}")
assert aiida.__version__ == "2.9.4"
assert (before, rolled_back) == (1, 1)
assert after == ["OperationalError", *["PendingRollbackError"] * 3], "the session recovers now"
PY
"$folder/environment/bin/python" "$folder/look.py" "$folder/database"
