"""A core of its own with two projects, and the credentials of everybody who asks."""

import base64
import hashlib
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

ROLES = ("viewer", "member", "owner")
EVERYBODY = ("anonymous", *ROLES, "auditor", "admin")
# What stands in the name of everything in shed, and nowhere else.
MARK = "tulipwood"
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

    def __init__(self, program, folder, limited):
        self.url = f"http://127.0.0.1:{free_port()}"
        self.log = Path(folder) / "core.log"
        state = Path(folder) / "core"
        settings = [
            f"state_dir={state}",
            f"http_bind={self.url.removeprefix('http://')}",
            f"grpc_bind=127.0.0.1:{free_port()}",
            "tls.mode=off",
        ]
        if limited:
            # So little that every run meets it.
            settings += ["limits.requests_per_credential=20", "limits.requests_per_address=20"]
        else:
            settings += [f"limits.{limit}=0" for limit in LIMITS]
        arguments = [part for setting in settings for part in ("--set", setting)]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [program, *arguments], env={}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            self.secrets = {"anonymous": None, "admin": self._admin(state / "admin.token")}
            self._fill()
        except BaseException:
            self.stop()
            raise

    def stop(self):
        self.process.kill()
        self.process.wait()

    def _admin(self, token):
        for _ in range(600):
            if self.process.poll() is not None:
                break
            try:
                urllib.request.urlopen(self.url + "/readyz").close()
                return token.read_text().strip()
            except OSError:
                time.sleep(0.1)
        raise SystemExit(f"schemathesis: the core does not start:\n{self.log.read_text()}")

    def ask(self, method, path, body=None, who="admin"):
        """The JSON of a good answer; anything else ends the test."""
        raw = isinstance(body, bytes)
        data = body if raw or body is None else json.dumps(body).encode()
        kind = "application/octet-stream" if raw else "application/json"
        headers = {"authorization": f"Bearer {self.secrets[who]}", "content-type": kind}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            text = error.read().decode()
            raise SystemExit(f"schemathesis: {method} {path}: {error.code} {text}") from error

    def _fill(self):
        # What must not be told to who is of garden alone: names, and every id.
        self.secret_texts = {MARK}
        self.names = {}
        for project, stem in (("garden", "rose"), ("shed", MARK)):
            made = [self.ask("POST", "/v1/projects", {"name": project})]
            here = f"/v1/projects/{project}"

            def create(kind, spec, name=None):
                body = {"name": name or f"{stem}-{kind}", "spec": spec}
                if kind == "invitations":
                    # The core names those.
                    del body["name"]
                answer = self.ask("POST", f"{here}/{kind}", body)
                made.append(answer)
                self.names.setdefault(kind, []).append(answer["name"])
                return answer

            blob = kernel(project)
            digest = hashlib.sha256(blob).hexdigest()
            self.ask("PUT", f"{here}/blobs/{digest}", blob)
            for kind in ("blobs", "uploads"):
                self.names.setdefault(kind, []).append(digest)
            create("images", {"digest": digest})
            # No network and no instance: they take components, and this core has none.
            tag = f"{stem}:1"
            made.append(self.ask("PUT", f"{here}/image-tags/{tag}", {"spec": {"image": f"{stem}-images"}}))
            self.names.setdefault("image-tags", []).append(tag)
            create("ssh-keys", {"public_key": ssh_key(stem)})
            create("invitations", {"role": "viewer"})
            for role in ROLES:
                answer = create("tokens", {"role": role}, role if project == "garden" else f"{stem}-{role}")
                if project == "garden":
                    self.secrets[role] = answer["secret"]
            self.ask("PUT", f"{here}/quota", {"spec": {"cpus": 8}})
            if project == "shed":
                self.secret_texts |= set(ids(made)) | {digest}
        answer = self.ask("POST", "/v1/tokens", {"name": "auditor", "spec": {"role": "auditor"}})
        self.secrets["auditor"] = answer["secret"]


def ids(value):
    """All ids in what the core answered."""
    if isinstance(value, list):
        for part in value:
            yield from ids(part)
    elif isinstance(value, dict):
        for key, part in value.items():
            if key in ("id", "project_id", "secret") and isinstance(part, str):
                yield part
            else:
                yield from ids(part)


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
