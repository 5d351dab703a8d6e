"""Simulated hosts: each joined by its component's real program, and all of them run by `rhyzome simulate`."""

import json
import subprocess
import time

# Everything is on these; the routers are of one project each.
HYPERVISORS = ("host-1", "host-2")
ROUTERS = {"garden": "router-1", "shed": "router-2"}
# Nothing is on these, so that they can be revoked and removed.
SPARE = tuple(f"spare-{number}" for number in range(1, 7))

# Before a command: it ends when what started it does, however that is.
ENDING_WITH_US = ("setpriv", "--pdeathsig", "KILL")


def start(program, *arguments, log):
    with open(log, "wb") as out:
        command = [*ENDING_WITH_US, program, *arguments]
        return subprocess.Popen(command, env={}, stdin=subprocess.DEVNULL, stdout=out, stderr=out)


def simulated(programs, folder, core, public, ask):
    """The process with all of them, connected; its log is `hosts.log` in the folder."""
    state = folder / "hosts"
    state.mkdir()
    hosts = []
    for name in (*HYPERVISORS, *ROUTERS.values(), *SPARE):
        kind = "libvirt" if name in HYPERVISORS else "linux"
        join(programs / f"rhyzome-{kind}", state / name, core, name, ask)
        size = {"cpus": 64, "memory": "256GiB"} if kind == "libvirt" else {"cpus": 0, "memory": "0"}
        hosts.append({"name": name, "kind": kind, "public_address": public.get(name), **size})
    (state / "hosts.json").write_text(json.dumps({"hosts": hosts}))
    process = start(programs / "rhyzome", "simulate", state, log=folder / "hosts.log")
    for _ in range(300):
        if all(component["connected"] for component in ask("GET", "/v1/components")["items"]):
            return process
        time.sleep(0.1)
    process.kill()
    process.wait()
    raise SystemExit(f"schemathesis: the hosts do not connect:\n{(folder / 'hosts.log').read_text()}")


def join(program, state, core, name, ask):
    token = ask("POST", "/v1/component-tokens", {"name": name})["token"]
    command = [program, "--set", f"component.state_dir={state}", "join", core, "-", "--name", name]
    joined = subprocess.run(command, env={}, input=token, capture_output=True, text=True)
    if joined.returncode != 0:
        raise SystemExit(f"schemathesis: {name} does not join: {joined.stderr}")
