"""What schemathesis is told about this API: names that exist, requests that end, and what nobody may learn.

Loaded by schemathesis (SCHEMATHESIS_HOOKS); what it needs to know of the site comes in the environment.
"""

import json
import os
import random
import re

import schemathesis

SITE = json.loads(os.environ["RHYZOME_SCHEMATHESIS"])
PROJECTS = ("garden", "garden", "garden", "shed", "shed", "default", "nowhere")
# Credentials that the run itself needs, and the project that it is about.
KEPT = {"viewer", "member", "owner", "auditor", "admin"}


# One worker asks one thing after another, so that what is drawn is the same each time.
DRAWN = random.Random(6)


@schemathesis.hook
def before_call(ctx, case, kwargs):
    operation = case.operation.definition.raw["operationId"]
    path = case.path_parameters
    # Three of four go where there is something; the others to what schemathesis thought of.
    if path and DRAWN.randrange(4):
        if "project" in path:
            path["project"] = DRAWN.choice(PROJECTS)
        collection = case.operation.path.split("/{project}/")[-1].split("/")[0]
        for key in ("name", "digest", "tag"):
            if key in path and collection in SITE["names"]:
                path[key] = DRAWN.choice(SITE["names"][collection])
    if case.method.upper() == "DELETE" and path:
        if path.get("name") in KEPT:
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


@schemathesis.hook
def after_call(ctx, case, response):
    # In the run's own folder: what was answered at all is looked at when it is over.
    with open("statuses", "a", encoding="ascii") as statuses:
        statuses.write(f"{response.status_code}\n")


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
    assert not found, f"the answer tells {', '.join(found)} of project shed to who has no role there"
