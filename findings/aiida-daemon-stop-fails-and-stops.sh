#!/usr/bin/env bash
# aiida-core 2.9.4: `verdi daemon stop` says "FAILED ... Connection to the daemon timed out" and exits with 1 where a
# worker needs more than two seconds to end, and the daemon stops all the same: some half a minute later nothing of it
# runs. Meanwhile `verdi daemon status` says that the daemon runs, with that worker and without a broker.
#
# The command asks the daemon to stop and to answer when that is done, and waits for the answer for as long as the option
# `daemon.timeout` says, two seconds; the daemon waits for its workers far longer before it kills them. A script that
# takes exit status 1 for what it says starts a second daemon, or gives up, while the first is going away. With a longer
# `daemon.timeout` the same stop succeeds. Here a worker that is stopped stands for one that is in the middle of a long
# step, or on a machine with other work.
set -euo pipefail

folder=$(mktemp -d)
export AIIDA_PATH="$folder/aiida"
mkdir -p "$AIIDA_PATH"
python3 -m venv "$folder/environment"
"$folder/environment/bin/pip" install -qq --disable-pip-version-check aiida-core==2.9.4
export PATH="$folder/environment/bin:$PATH"

worker() {
    pgrep -f "^$folder/environment.*daemon worker" || true
}
trap 'kill -9 $(worker) 2>/dev/null || true; rm -rf "$folder"' EXIT

verdi --version
verdi presto -n >"$folder/log" 2>&1

# A worker that does not end at once, with the option as it is.
verdi daemon start 1 >>"$folder/log"
until [ -n "$(worker)" ]; do sleep 0.5; done
sleep 5
kill -STOP "$(worker)"
code=0
verdi daemon stop >"$folder/stop" 2>&1 || code=$?
cat "$folder/stop"
[ "$code" = 1 ]
grep -q "Connection to the daemon timed out" "$folder/stop"
verdi daemon status >"$folder/status" 2>&1
cat "$folder/status"
grep -q "Daemon is running" "$folder/status"
for _ in $(seq 60); do
    verdi daemon status >"$folder/status" 2>&1 || break
    sleep 2
done
cat "$folder/status"
grep -q "daemon is not running" "$folder/status"
[ -z "$(worker)" ]
echo "The stop that failed has stopped the daemon."

# The same with a longer time to answer.
verdi config set daemon.timeout 120 >>"$folder/log" 2>&1
verdi daemon start 1 >>"$folder/log"
until [ -n "$(worker)" ]; do sleep 0.5; done
sleep 5
kill -STOP "$(worker)"
verdi daemon stop
echo "With a longer daemon.timeout it succeeds."
