"""What schemathesis is told about this API: names that exist, requests that end, and what nobody may learn.

Loaded by schemathesis (SCHEMATHESIS_HOOKS); what it needs to know of the site comes in the environment.
"""

import base64
import itertools
import json
import os
import random
import re
from collections import Counter

import schemathesis

SITE = json.loads(os.environ["RHYZOME_SCHEMATHESIS"])
PROJECTS = (SITE["home"], "garden", "garden", "shed", "shed", "default", "nowhere")


# One worker asks one thing after another, so that what is drawn is the same each time.
DRAWN = random.Random(6)
# How many requests of each operation there were, and things that were made.
ASKED = Counter()
MADE = itertools.count()


@schemathesis.hook
def before_call(ctx, case, kwargs):
    operation = case.operation.definition.raw["operationId"]
    method = case.method.upper()
    kind, path = kind_of(case), case.path_parameters or {}
    has_body = "requestBody" in case.operation.definition.raw
    if method == case.operation.method.upper() and (isinstance(case.body, dict) or not has_body):
        # Every other request is a good one, the first one at home; of those, every other one with one thing that schemathesis
        # thought of.
        number = ASKED[operation]
        ASKED[operation] += 1
        is_good = number % 2 == 0
    else:
        number, is_good = None, False
    known = None
    if is_good or DRAWN.randrange(2):
        projects = PROJECTS[: 1 if number == 0 else 4] if is_good else PROJECTS
        known = somewhere(path, kind, method, is_good, DRAWN.choice(projects))
    if is_good:
        if has_body:
            case.body = asked(operation, known, case.body, number % 4 == 2)
        case.query = {"wait": "1s"} if any(parameter.name == "wait" for parameter in case.operation.query) else {}
        for header in ("If-Match", "Idempotency-Key"):
            (case.headers or {}).pop(header, None)
    if (method == "DELETE" or kind == "components") and method != "GET" and path.get("name") in SITE["kept"]:
        path["name"] = "nothing"
    if operation == "project_delete" and path.get("project") in PROJECTS:
        path["project"] = "nowhere"
    if case.query:
        # Streams that do not end, and waits of minutes.
        if "follow" in case.query or operation in ("event_list", "site_event_list"):
            case.query["follow"] = "false"
        if re.fullmatch(r"\d+[a-z]+", str(case.query.get("wait", ""))):
            case.query["wait"] = "1s"
    elif operation in ("event_list", "site_event_list"):
        case.query = {"follow": "false"}


def kind_of(case):
    """The last collection in the path: what is named behind it, or made in it."""
    return re.sub(r"/\{(name|digest|tag|id)\}.*", "", case.operation.path).rsplit("/", 1)[-1]


def somewhere(path, kind, method, is_good, project):
    """Leads a path to something that there is, and says what."""
    there = SITE["known"].get(kind, [])
    if "project" in path:
        path["project"] = project
        # Now and then what is in one project is asked of another one.
        if is_good or DRAWN.randrange(4):
            there = [one for one in there if one["project"] == project]
    if is_good and method != "GET":
        there = [one for one in there if one["name"] not in SITE["kept"]] or there
    known = DRAWN.choice(there) if there else None
    for key in ("name", "digest", "tag", "id"):
        if known and key in path:
            path[key] = known["name"]
    return known


def asked(operation, known, body, is_changed):
    """What was taken when something that there is was made, and one thing that schemathesis thought of."""
    if known is None:
        return body
    name = f"made-{next(MADE)}"
    if operation == "invitation_redeem":
        return {"code": known["name"], "name": name}
    if not operation.endswith(("_create", "_update", "_set")) or known["spec"] is None:
        return body
    spec = dict(known["spec"])
    if operation == "peer_create":
        spec["public_key"] = base64.b64encode(DRAWN.randbytes(32)).decode()
    thought = body.get("spec")
    if is_changed and isinstance(thought, dict) and thought:
        field = DRAWN.choice(sorted(thought))
        spec[field] = thought[field]
    is_named = operation.endswith("_create") and operation != "invitation_create"
    return ({"name": name} if is_named else {}) | {"spec": spec}


@schemathesis.hook
def after_call(ctx, case, response):
    # In the run's own folder: what was answered at all is looked at when it is over.
    note("answers", case, response.status_code)
    # What was made is asked for as well, and what is gone is not any more.
    kind, path, method = kind_of(case), case.path_parameters or {}, case.method.upper()
    there = SITE["known"].get(kind)
    if there is not None and method == "POST" and response.status_code == 201:
        made = {"project": path.get("project"), "name": response.json()["name"], "spec": case.body["spec"]}
        there.append(made)
    elif there is not None and method == "DELETE" and response.status_code in (200, 202, 204):
        gone = (path.get("project"), path["name"] if "name" in path else path.get("digest", path.get("tag")))
        there[:] = [one for one in there if (one["project"], one["name"]) != gone]


def note(file, case, what):
    with open(file, "a", encoding="ascii") as notes:
        notes.write(f"{case.operation.definition.raw['operationId']} {what}\n")


def leaks(text, asked, secrets):
    """Which of the secrets are in an answer and were not in its question."""
    return sorted(secret for secret in secrets if secret in text and secret not in asked)


@schemathesis.check
def nothing_of_another_project(ctx, response, case):
    if not SITE["secrets"]:
        return
    request = response.request
    body = request.body or b""
    body = body.decode(errors="replace") if isinstance(body, bytes) else str(body)
    text = response.content.decode(errors="replace") + str(response.headers)
    found = leaks(text, f"{request.url} {body} {request.headers}", SITE["secrets"])
    for secret in found:
        note("leaks", case, secret)
    assert not found, f"the answer tells {', '.join(found)} to who has no right to it"
