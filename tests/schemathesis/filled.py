"""A core of its own with simulated hosts and two projects, and the credentials of everybody who asks."""

import base64
import hashlib
import json
import socket
import time
import urllib.error
import urllib.request
from pathlib import Path

from hosts import HYPERVISORS, ROUTERS, SPARE, simulated, start

ROLES = ("viewer", "member", "owner")
EVERYBODY = ("anonymous", *ROLES, "auditor", "admin")
# What stands in the name of everything in shed, and nowhere else.
MARK = "tulipwood"
# What stands in what the guests of garden are told: for members, and for nobody who may only read.
TOLD_GUESTS = "foxglove"
# In which fields an answer has what is of one project alone.
TELLING = (
    "id project_id resource_id secret code link public_key mac ipv4 ipv6 router_ipv4 router_ipv6 address dns"
).split()
LIMITS = (
    "requests_per_credential requests_per_address failures_per_address waits_per_credential waits "
    "streams_per_credential streams"
).split()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Site:
    """Started and filled; ended by `stop`. Its log is `core.log` in the folder."""

    def __init__(self, programs, folder, limited):
        self.url = f"http://127.0.0.1:{free_port()}"
        self.log = Path(folder) / "core.log"
        state = Path(folder) / "core"
        grpc = f"127.0.0.1:{free_port()}"
        settings = [
            f"state_dir={state}",
            f"http_bind={self.url.removeprefix('http://')}",
            f"grpc_bind={grpc}",
            "tls.mode=off",
        ]
        if limited:
            # So little that every run meets it.
            settings += ["limits.requests_per_credential=20", "limits.requests_per_address=20"]
        else:
            settings += [f"limits.{limit}=0" for limit in LIMITS]
        arguments = [part for setting in settings for part in ("--set", setting)]
        self.hosts = None
        self.core = start(programs / "rhyzome-api", *arguments, log=self.log)
        try:
            self.secrets = {"anonymous": None, "admin": self._admin(state / "admin.token")}
            public = {ROUTERS["garden"]: "rose.example", ROUTERS["shed"]: f"{MARK}.example"}
            self.hosts = simulated(programs, Path(folder), f"https://{grpc}", public, self.ask)
            self._fill()
        except BaseException:
            self.stop()
            raise

    def stop(self):
        for process in (self.hosts, self.core):
            if process:
                process.kill()
                process.wait()

    def has_ended(self):
        return any(process.poll() is not None for process in (self.hosts, self.core))

    def _admin(self, token):
        for _ in range(600):
            if self.core.poll() is not None:
                break
            try:
                urllib.request.urlopen(self.url + "/readyz").close()
                return token.read_text().strip()
            except OSError:
                time.sleep(0.1)
        raise SystemExit(f"schemathesis: the core does not start:\n{self.log.read_text()}")

    def ask(self, method, path, body=None, who="admin", more=()):
        """The JSON of a good answer; anything else ends the test."""
        raw = isinstance(body, bytes)
        data = body if raw or body is None else json.dumps(body).encode()
        headers = {"content-type": "application/octet-stream" if raw else "application/json", **dict(more)}
        if self.secrets[who]:
            headers["authorization"] = f"Bearer {self.secrets[who]}"
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        while True:
            try:
                with urllib.request.urlopen(request) as answer:
                    return json.loads(answer.read() or b"null")
            except urllib.error.HTTPError as error:
                text = error.read().decode()
                if error.code != 429:
                    raise SystemExit(f"schemathesis: {method} {path}: {error.code} {text}") from error
                time.sleep(0.2)

    def _fill(self):
        # Of each kind, what there is: where, with which name, and what was asked for.
        self.known = {}
        # What must not be told to who is of garden alone: names, and what is unique to shed.
        self.secret_texts = {MARK}
        *spare, lost = SPARE
        for host in spare:
            self.ask("PUT", f"/v1/components/{host}", {"spec": {"cordon": {}}})
        garden = Filling(self, "garden", "rose", 12)
        shed = Filling(self, "shed", MARK, 2)
        for project in (garden, shed):
            project.fill()
        # Nothing of anybody else comes to where shed's networks are.
        self.ask("PUT", f"/v1/components/{ROUTERS['shed']}", {"spec": {"cordon": {}}})
        for project in (garden, shed):
            project.settle()
            project.put_on(lost)
        self.ask("POST", f"/v1/components/{lost}/revoke")
        for project in (garden, shed):
            project.leave_lost()
        self.secret_texts |= shed.texts - garden.texts
        self.secrets |= garden.tokens
        answer = self.ask("POST", "/v1/tokens", {"name": "auditor", "spec": {"role": "auditor"}})
        self.secrets["auditor"] = answer["secret"]
        for host in (*HYPERVISORS, *ROUTERS.values(), *SPARE):
            self.know("components", None, host, {"labels": {"floor": "2"}})

    def know(self, kind, project, name, spec=None):
        self.known.setdefault(kind, []).append({"project": project, "name": name, "spec": spec})


class Filling:
    """One project, and what fills it."""

    def __init__(self, site, project, stem, many):
        self.site, self.project, self.stem, self.many = site, project, stem, many
        self.here = f"/v1/projects/{project}"
        self.tokens = {}
        self.texts = set()

    def ask(self, method, path, body=None, who="admin", more=()):
        answer = self.site.ask(method, self.here + path, body, who, more)
        self.texts |= set(telling(answer))
        return answer

    def create(self, kind, spec, name=None):
        body = {"name": name or f"{self.stem}-{kind}", "spec": spec}
        if kind == "invitations":
            # The core names those.
            del body["name"]
        answer = self.ask("POST", f"/{kind}", body)
        self.site.know(kind, self.project, answer["name"], spec)
        return answer

    def create_many(self, kind, spec):
        for number in range(1, self.many + 1):
            name = f"{self.stem}-{kind}-{number}"
            self.create(kind, spec(name, number), name)

    def fill(self):
        self.texts |= set(telling(self.site.ask("POST", "/v1/projects", {"name": self.project})))
        self.ask("PUT", "/quota", {"spec": {"cpus": 128}})
        self._images()
        self.create("ssh-keys", {"public_key": ssh_key(self.stem)})
        self.create("invitations", {"role": "viewer"})
        for role in ROLES:
            name = role if self.project == "garden" else f"{self.stem}-{role}"
            self.tokens[role] = self.create("tokens", {"role": role}, name)["secret"]
        self._machines()
        self._people()

    def _images(self):
        blob = kernel(self.project)
        digest = hashlib.sha256(blob).hexdigest()
        self.ask("PUT", f"/blobs/{digest}", blob)
        self.site.know("blobs", self.project, digest)
        # Another one is there in part.
        part = kernel(f"{self.project} in part")
        whole = hashlib.sha256(part).hexdigest()
        self.ask("PATCH", f"/uploads/{whole}", part[:100], more={"upload-offset": "0", "upload-length": str(len(part))})
        self.site.know("uploads", self.project, whole)
        self.texts |= {digest, whole}
        self.create("images", {"digest": digest})
        tag = f"{self.stem}:1"
        spec = {"image": f"{self.stem}-images"}
        self.ask("PUT", f"/image-tags/{tag}", {"spec": spec})
        self.site.know("image-tags", self.project, tag, spec)

    def _machines(self):
        first = f"{self.stem}-networks-1"
        told = TOLD_GUESTS if self.project == "garden" else MARK
        guest = {"user_data": f"#cloud-config\nhostname: {told}\n", "command_line": f"{{{{network_settings}}}} {self.stem}"}
        self.create_many("networks", self._network)
        self.create_many("instances", lambda name, _: {"image": f"{self.stem}-images", "networks": [first], **guest})
        self.create_many("peers", lambda name, _: {"public_key": wireguard_key(name), "networks": [first]})

    def _network(self, _, number):
        if self.project == "garden":
            return {"egress": True, "router": ROUTERS["garden"]}
        # Where the core itself gives none: they are in no answer about anything else.
        prefixes = {"ipv4": f"172.29.{number}.0/24", "ipv6": f"fd2b:5ed0:77ab:{number}::/64"}
        return {"egress": True, "router": ROUTERS["shed"], **prefixes}

    def put_on(self, router):
        """What will never be heard of again."""
        name = f"{self.stem}-lost"
        self.create("networks", {"router": router}, name)
        self.create("instances", {"image": f"{self.stem}-images", "networks": [name]}, name)
        self._person(name)
        self.ask("POST", "/peers", {"name": name, "spec": {"public_key": wireguard_key(name), "networks": [name]}}, name)
        self.ask("GET", f"/peers/{name}?wait=30s")

    def leave_lost(self):
        name = f"{self.stem}-lost"
        self.ask("DELETE", f"/members/{name}")
        self.site.know("revocations", self.project, name)

    def _people(self):
        """Half of them have left, and lost their devices."""
        for number in range(1, self.many + 1):
            name = f"{self.stem}-person-{number}"
            self._person(name)
            device = {"public_key": wireguard_key(name), "networks": [f"{self.stem}-networks-1"]}
            self.ask("POST", "/peers", {"name": f"{name}-device", "spec": device}, name)
            if number % 2:
                self.site.know("peers", self.project, f"{name}-device", device)
                self.site.know("members", self.project, name, {"role": "member"})
            else:
                self.ask("DELETE", f"/members/{name}?wait=30s")
                self.site.know("revocations", self.project, name)

    def _person(self, name):
        code = self.ask("POST", "/invitations", {"spec": {"role": "member"}})["code"]
        if self.project == "garden":
            # Others for whom schemathesis asks.
            self.site.know("redeem", None, self.create("invitations", {"role": "viewer"})["code"])
        redeemed = self.site.ask("POST", "/v1/invitations/redeem", {"code": code, "name": name}, "anonymous")
        self.texts |= set(telling(redeemed))
        self.site.secrets[name] = redeemed["session"]["secret"]
        self.site.know("users", None, name, {"disabled": False})

    def settle(self):
        """Waits for all of it, so that what the hosts say is there too."""
        for kind in ("networks", "instances", "peers"):
            for known in self.site.known[kind]:
                if known["project"] == self.project:
                    answer = self.ask("GET", f"/{kind}/{known['name']}?wait=30s")
                    if answer["status"]["phase"] != "ready":
                        raise SystemExit(f"schemathesis: it does not get ready: {answer}")
        for job in self.ask("GET", "/jobs")["items"]:
            self.site.know("jobs", self.project, job["id"])


def telling(value):
    """All that is of one project alone in what the core answered."""
    if isinstance(value, list):
        for part in value:
            yield from telling(part)
    elif isinstance(value, dict):
        for key, part in value.items():
            if key in TELLING and isinstance(part, str):
                yield part
            else:
                yield from telling(part)


def wireguard_key(text):
    """A public key by its form; nobody has the other half."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def kernel(text):
    """The head of a bzImage (Documentation/arch/x86/boot.rst of Linux), with a text in it."""
    head = bytearray(4096)
    head[0x1FE:0x200] = b"\x55\xaa"
    head[0x202:0x206] = b"HdrS"
    head[0x211] = 1
    return bytes(head) + text.encode()


def ssh_key(comment):
    """A public key by its form; nobody has the other half."""
    fields = (b"ssh-ed25519", hashlib.sha256(comment.encode()).digest())
    blob = b"".join(len(field).to_bytes(4, "big") + field for field in fields)
    return f"ssh-ed25519 {base64.b64encode(blob).decode()} {comment}"
