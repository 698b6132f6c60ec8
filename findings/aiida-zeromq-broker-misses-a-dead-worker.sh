#!/usr/bin/env bash
# aiida-core 2.9: the ZeroMQ broker does not always notice that a worker was killed; its tasks stay "processing" forever.
#
# When a connection ends, the broker sends a ping to every worker that has tasks and takes the one that cannot be
# reached for dead. libzmq tells of the end of a connection before the ROUTER socket has dropped its pipe, so that the
# ping to the worker that has just died may still succeed. Nothing asks again until another connection ends: the tasks
# are not given to another worker, and a broadcast to the dead one only writes a warning. With RabbitMQ they are
# redelivered. About one kill in a hundred on two busy cores.
#
# Each round starts one worker, gives it a task, kills it and waits ten seconds for the task to be given back; then the
# same is seen to follow within a second once any other connection has come and gone.
set -euo pipefail

folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$folder"' EXIT
python3 -m venv "$folder/environment"
"$folder/environment/bin/pip" install -qq --disable-pip-version-check aiida-core==2.9.4 pyzmq==27.3.0
cat >"$folder/rounds.py" <<'PY'
import multiprocessing
import os
import sys
import threading
import time
from concurrent.futures import Future
from pathlib import Path

from aiida.brokers.zeromq.communicator import ZeromqCommunicator
from aiida.brokers.zeromq.server import ZeromqBrokerServer

ROUNDS = 1500


def work(endpoint):
    communicator = ZeromqCommunicator(endpoint)
    communicator.start()
    communicator.add_task_subscriber(lambda _, task: Future())
    time.sleep(3600)


def until(condition, seconds):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    return condition()


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    server = ZeromqBrokerServer(folder / "storage", folder / "sockets")
    endpoint = server.router_endpoint
    forks = multiprocessing.get_context("forkserver")  # its processes are made before there is a thread or a socket
    forks.set_forkserver_preload(["aiida.brokers.zeromq.communicator"])
    server.start()
    threading.Thread(target=server.run_forever, daemon=True).start()
    sender = ZeromqCommunicator(endpoint)
    sender.start()
    for number in range(1, ROUNDS + 1):
        worker = forks.Process(target=work, args=(endpoint,), daemon=True)
        worker.start()
        sender.task_send("task", no_reply=True)
        assert until(lambda: server.get_status()["in_flight_tasks"] == 1, 60)
        worker.kill()
        worker.join()
        if not until(lambda: not server.get_status()["in_flight_tasks"], 10):
            print(f"kill {number}: after 10 s the dead worker still has its task: {server.get_status()}")
            other = ZeromqCommunicator(endpoint)
            other.start()
            other.broadcast_send("hello")
            time.sleep(0.2)
            other.close()
            given_back = until(lambda: not server.get_status()["in_flight_tasks"], 10)
            print(f"after another connection has come and gone it is given back: {given_back}")
            os._exit(0 if given_back else 1)
        server._task_queue.clear()
    print(f"{ROUNDS} kills, all of them noticed")
    os._exit(1)
PY
# Two cores' worth of other work, as on a machine that computes.
for _ in $(seq "$(nproc)"); do python3 -c 'while True: pass' & done
"$folder/environment/bin/python" "$folder/rounds.py" "$folder" 2>/dev/null
