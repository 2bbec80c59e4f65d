"""An HTTP server that answers as the API of AWX 24.6.1 does to the modules of awx.awx, as far as that is known without AWX.

What it is: a store of objects. Which kinds there are, which fields each takes, and which are lists of other objects is generated from the
argument specs of awx.awx. It refuses fields that no option stands for, ids of objects that are not there, surveys, rules and injectors that
``tools/awx_rules.py`` refuses, links that make a circle, and to delete a credential type that is in use. It hides secrets as AWX does.

What it is not: AWX. It runs no job, syncs no project, checks no permission beyond its token, and knows nothing that is neither in those
specs nor written below from AWX's documented behaviour. That a playbook works with it says that the modules accept the data, that objects
come in an order in which each finds what it refers to, and that nothing changes twice. It does not say that a live AWX takes each value.
"""

from __future__ import annotations

import http.server
import itertools
import json
import re
import sys
import threading
import typing as t
import urllib.parse
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import awx_collection  # noqa: E402
import awx_data  # noqa: E402, F401 (for tests)
import awx_rules  # noqa: E402

API = "/api/v2"
TOKEN = "a-token-of-the-stand-in"
HIDDEN = "$encrypted$"
#: Endpoint -> the module of awx.awx that fills it.
MODULES = {
    "organizations": "organization",
    "execution_environments": "execution_environment",
    "credential_types": "credential_type",
    "credentials": "credential",
    "notification_templates": "notification_template",
    "labels": "label",
    "projects": "project",
    "inventories": "inventory",
    "inventory_sources": "inventory_source",
    "teams": "team",
    "job_templates": "job_template",
    "workflow_job_templates": "workflow_job_template",
    "workflow_job_template_nodes": "workflow_job_template_node",
    "schedules": "schedule",
}
UNIFIED = ("job_templates", "workflow_job_templates", "projects", "inventory_sources", "workflow_approval_templates")
#: Field -> the endpoints whose ids it holds.
FOREIGN = {
    "organization": ("organizations",),
    "credential_type": ("credential_types",),
    "project": ("projects",),
    "source_project": ("projects",),
    "inventory": ("inventories",),
    "execution_environment": ("execution_environments",),
    "default_environment": ("execution_environments",),
    "credential": ("credentials",),
    "unified_job_template": UNIFIED,
    "workflow_job_template": ("workflow_job_templates",),
}
#: Options that are no fields: they steer the module.
STEERING = {
    "state",
    "new_name",
    "copy_from",
    "update_secrets",
    "wait",
    "interval",
    "update_project",
    "lookup_organization",
    "survey_spec",
    "workflow_nodes",
    "destroy_current_nodes",
    "approval_node",
}
#: Options that are lists of other objects, which AWX keeps at an address of their own.
LISTS = {
    "labels": "labels",
    "credentials": "credentials",
    "success_nodes": "workflow_job_template_nodes",
    "failure_nodes": "workflow_job_template_nodes",
    "always_nodes": "workflow_job_template_nodes",
    **{f"notification_templates_{when}": "notification_templates" for when in ("started", "success", "error", "approvals")},
}
LINKS = ("success_nodes", "failure_nodes", "always_nodes")
ROLES = {
    "job_templates": "admin execute read",
    "workflow_job_templates": "admin execute read approval",
    "teams": "admin member read",
    "inventories": "admin use read",
    "projects": "admin use read",
    "credentials": "admin use read",
}
#: The fields of the types of credentials that AWX comes with, as far as the data uses them; secret ones are True.
BUILT_IN = {
    "Machine": {"username": False, "ssh_key_data": True, "become_method": False, "password": True},
    "Red Hat Ansible Automation Platform": {"host": False, "oauth_token": True, "verify_ssl": False},
}
Answer = tuple[int, t.Any]


class Refused(Exception):
    """What AWX answers with a status from 400 on."""

    def __init__(self, status: int, **said: t.Any) -> None:
        super().__init__(status, said)
        self.status, self.said = status, said


class Store:
    """The objects of an AWX."""

    def __init__(self) -> None:
        self.ids = itertools.count(1)
        self.objects: dict[str, dict[int, dict[str, t.Any]]] = {name: {} for name in (*MODULES, "workflow_approval_templates")}
        self.lists: dict[tuple[int, str], list[int]] = {}
        self.surveys: dict[int, t.Any] = {}
        self.secrets: dict[int, dict[str, t.Any]] = {}
        self.granted: dict[int, tuple[int, str]] = {}
        self.jobs: dict[str, t.Any] = {}
        self.changes: list[tuple[str, str, str]] = []  # method, endpoint, name
        self.fields = {endpoint: self.fields_of(module) for endpoint, module in MODULES.items()}
        self.fields["workflow_approval_templates"] = {"name": {"type": "str"}, "description": {}, "timeout": {"type": "int"}}
        self.add("organizations", {"name": "Default"})
        for name, fields in BUILT_IN.items():
            shape = {"fields": [{"id": key, "label": key, "secret": secret} for key, secret in fields.items()]}
            self.add("credential_types", {"name": name, "kind": "ssh", "inputs": shape, "managed": True})
        self.changes.clear()

    @staticmethod
    def fields_of(module: str) -> dict[str, dict[str, t.Any]]:
        """The fields of a kind of object: the options of its module, but those that steer it or are lists of objects."""
        spec = awx_collection.module_spec(module, awx_collection.bring())
        kept = {name: option for name, option in spec.items() if name not in STEERING and name not in LISTS}
        return {**kept, **{"credential_type": {"managed": {"type": "bool"}}, "workflow_job_template_node": {"type": {}}}.get(module, {})}

    def where(self, an_id: int) -> str:
        """The endpoint of an object."""
        for endpoint, objects in self.objects.items():
            if an_id in objects:
                return endpoint
        raise Refused(404, detail="Not found.")

    def get(self, an_id: int) -> dict[str, t.Any]:
        """An object as AWX shows it."""
        endpoint = self.where(an_id)
        one, url = dict(self.objects[endpoint][an_id]), f"{API}/{endpoint}/{an_id}/"
        related = {"survey_spec": f"{url}survey_spec/"}
        if one.get("unified_job_template"):
            related["unified_job_template"] = f"{API}/{self.where(one['unified_job_template'])}/{one['unified_job_template']}/"
        if endpoint == "credentials":
            fields = self.objects["credential_types"][one["credential_type"]]["inputs"]["fields"]
            secret = {field["id"] for field in fields if field.get("secret")}
            one["inputs"] = {key: HIDDEN if key in secret and value else value for key, value in one["inputs"].items()}
        roles = {f"{name}_role": {"id": self.role(an_id, name)} for name in ROLES.get(endpoint, "").split()}
        return {
            **one,
            "id": an_id,
            "url": url,
            "type": endpoint[:-1].replace("inventorie", "inventory"),
            "related": related,
            "summary_fields": {"object_roles": roles},
        }

    def role(self, an_id: int, name: str) -> int:
        """The id of a role of an object."""
        for key, held in self.granted.items():
            if held == (an_id, name):
                return key
        key = next(self.ids)
        self.granted[key] = (an_id, name)
        return key

    def check(self, endpoint: str, given: dict[str, t.Any], an_id: int | None) -> None:
        """Refuse what AWX would refuse of an object's fields."""
        for name, value in given.items():
            option = self.fields[endpoint].get(name)
            if option is None:
                raise Refused(400, **{name: [f"there is no such field of {endpoint}"]})
            if name in FOREIGN and value not in (None, "") and not any(value in self.objects[kind] for kind in FOREIGN[name]):
                raise Refused(400, **{name: [f'Invalid pk "{value}" - object does not exist.']})
            if option.get("choices") and value not in (None, "") and str(value) not in map(str, option["choices"]):
                raise Refused(400, **{name: [f'"{value}" is not a valid choice.']})
        fields = {field["id"] for field in (given.get("inputs") or {}).get("fields", [])} if endpoint == "credential_types" else set()
        wrong = list(awx_rules.rrule(given["rrule"])) if "rrule" in given else []
        wrong += awx_rules.injectors(given["injectors"], fields) if "injectors" in given else []
        if wrong:
            raise Refused(400, __all__=wrong)
        if given.get("extra_data"):
            asked = {one["variable"] for one in self.surveys.get(given.get("unified_job_template", 0), {}).get("spec", [])}
            if not set(given["extra_data"]) <= asked and (an_id is None or "unified_job_template" in given):
                raise Refused(400, extra_data=["Variables are not allowed on launch."])
        same = ("name", "organization", "identifier", "workflow_job_template", "unified_job_template", "credential_type", "inventory")
        for other, one in self.objects[endpoint].items():
            if other != an_id and all(given.get(key) == one.get(key) for key in same if key in self.fields[endpoint]):
                raise Refused(400, __all__=["An object with this name is there already."])

    def add(self, endpoint: str, given: dict[str, t.Any]) -> dict[str, t.Any]:
        """Make an object; fields that are not given have AWX's empty values."""
        self.check(endpoint, given, None)
        empty: dict[str, t.Any] = {"bool": False, "int": 0, "dict": {}, "list": []}
        an_id = next(self.ids)
        unset = {
            name: None if name in FOREIGN else empty.get(option.get("type", "str"), "") for name, option in self.fields[endpoint].items()
        }
        self.objects[endpoint][an_id] = {**unset, **given}
        self.changes.append(("POST", endpoint, str(given.get("name") or given.get("identifier"))))
        return self.get(an_id)

    def change(self, an_id: int, given: dict[str, t.Any]) -> dict[str, t.Any]:
        """Change an object; a secret that is given as it is shown stays."""
        endpoint = self.where(an_id)
        old = self.objects[endpoint][an_id]
        if endpoint == "credentials":
            given = {
                **given,
                "inputs": {
                    key: old["inputs"].get(key) if value == HIDDEN else value for key, value in given.get("inputs", old["inputs"]).items()
                },
            }
        self.check(endpoint, given if endpoint != "credential_types" else {**old, **given}, an_id)
        before = dict(old)
        old.update({name: "" if value is None and name not in FOREIGN else value for name, value in given.items()})
        if before != old:
            self.changes.append(("PATCH", endpoint, str(old.get("name"))))
        return self.get(an_id)

    def remove(self, an_id: int) -> None:
        """Delete an object and what goes with it."""
        endpoint = self.where(an_id)
        if endpoint == "credential_types" and any(one["credential_type"] == an_id for one in self.objects["credentials"].values()):
            raise Refused(403, detail="Credential types that are in use cannot be deleted")
        gone = self.objects[endpoint].pop(an_id)
        self.changes.append(("DELETE", endpoint, str(gone.get("name") or gone.get("identifier"))))
        if endpoint == "workflow_job_template_nodes":
            self.objects["workflow_approval_templates"].pop(gone["unified_job_template"], None)
        for kind, field in (
            ("workflow_job_template_nodes", "workflow_job_template"),
            ("inventory_sources", "inventory"),
            ("schedules", "unified_job_template"),
        ):
            for other in [key for key, one in self.objects[kind].items() if one.get(field) == an_id]:
                self.remove(other)
        self.lists = {key: [one for one in listed if one != an_id] for key, listed in self.lists.items() if key[0] != an_id}
        used = {one for (_owner, what), listed in self.lists.items() if what == "labels" for one in listed}
        if endpoint in ("job_templates", "workflow_job_templates"):  # labels go with the last template that has them
            for label in [key for key in self.objects["labels"] if key not in used]:
                del self.objects["labels"][label]

    def associate(self, owner: int, what: str, given: dict[str, t.Any]) -> None:
        """Put an object into a list of another one, or take it out."""
        listed = self.lists.setdefault((owner, what), [])
        other = given["id"]
        if given.get("disassociate"):
            listed.remove(other)
        else:
            if what in LISTS and other not in self.objects[LISTS[what]]:
                raise Refused(400, msg=f"{what}: there is no {other}")
            if what in LINKS:
                self.check_link(owner, other)
            listed.append(other)
        self.changes.append(("LINK", what, str(other)))

    def check_link(self, owner: int, other: int) -> None:
        """Refuse a link to another workflow, a second one, and a circle."""
        nodes = self.objects["workflow_job_template_nodes"]
        if nodes[owner]["workflow_job_template"] != nodes[other]["workflow_job_template"]:
            raise Refused(400, msg="nodes of different workflows")
        if any(other in self.lists.get((owner, what), []) for what in LINKS):
            raise Refused(400, msg="Relationship not allowed: these nodes are linked already.")
        seen, todo = set(), [other]
        while todo:
            one = todo.pop()
            seen.add(one)
            todo += [following for what in LINKS for following in self.lists.get((one, what), []) if following not in seen]
        if owner in seen:
            raise Refused(400, msg="Cycle detected.")

    def find(self, endpoint: str, query: dict[str, str]) -> list[dict[str, t.Any]]:
        """The objects that a query is about."""
        kinds = UNIFIED[:4] if endpoint == "unified_job_templates" else (endpoint,)
        if any(kind not in self.objects for kind in kinds):
            raise Refused(404, detail="Not found.")
        found = [self.get(key) for kind in kinds for key in self.objects[kind]]
        either = {key[4:]: value for key, value in query.items() if key.startswith("or__")}
        for key, value in query.items():
            if key in ("page", "page_size", "order_by") or key.startswith("or__"):
                continue
            field, _dunder, inner = key.partition("__")
            if found and field not in found[0] and field != "organization":
                raise Refused(400, detail=f"{kinds[0]} has no field named '{field}'")
            found = [one for one in found if str(self.get(one[field])[inner] if inner else one.get(field)) == value]
        return [one for one in found if not either or any(str(one.get(key)) == value for key, value in either.items())]

    def answer(self, method: str, path: str, query: dict[str, str], given: dict[str, t.Any]) -> Answer:
        """What AWX answers to a request."""
        words = path.removeprefix(f"{API}/").strip("/").split("/")
        if path.removeprefix(API) in self.jobs:
            return 200, self.jobs[path.removeprefix(API)]
        if len(words) == 1:
            return (201, self.add(words[0], given)) if method == "POST" else (200, page(path, query, self.find(words[0], query)))
        an_id = int(words[1])
        if len(words) == 2:
            if method == "DELETE":
                self.remove(an_id)
                return 204, None
            return 200, self.change(an_id, given) if method == "PATCH" else self.get(an_id)
        if words[2] == "survey_spec":
            return self.survey(method, an_id, given)
        if words[2] == "create_approval_template":
            made = self.add("workflow_approval_templates", given)
            self.objects["workflow_job_template_nodes"][an_id]["unified_job_template"] = made["id"]
            return 201, made
        if words[0] != "roles" and (words[2] not in LISTS or words[0] == "workflow_approval_templates"):
            raise Refused(404, detail="Not found.")
        if method == "POST":
            self.associate(an_id, words[2], given)
            return 204, None
        return 200, page(path, query, [self.get(one) for one in self.lists.get((an_id, words[2]), [])])

    def survey(self, method: str, an_id: int, given: dict[str, t.Any]) -> Answer:
        """A template's survey."""
        if method == "POST":
            for text in awx_rules.survey(given):
                raise Refused(400, error=text)
            if self.surveys.get(an_id) != given:
                self.changes.append(("POST", "survey_spec", given["name"]))
            self.surveys[an_id] = given
        return 200, self.surveys.get(an_id, {})


def page(path: str, query: dict[str, str], found: list[t.Any]) -> dict[str, t.Any]:
    """A page of a list, with the address of the next one."""
    size, number = int(query.get("page_size", 25)), int(query.get("page", 1))
    following = urllib.parse.urlencode({**query, "page": number + 1})
    return {
        "count": len(found),
        "next": f"{path}?{following}" if number * size < len(found) else None,
        "previous": None,
        "results": found[(number - 1) * size : number * size],
    }


class StandIn:
    """The server, on a free port of the loopback address, in a thread of this process."""

    def __init__(self) -> None:
        self.store = store = Store()
        lock = threading.Lock()

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *words: t.Any) -> None:
                """Stay quiet."""

            def reply(self) -> None:
                """Answer any request."""
                path, _mark, text = self.path.partition("?")
                query = dict(urllib.parse.parse_qsl(text, keep_blank_values=True))
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                try:
                    if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                        raise Refused(401, detail="Authentication credentials were not provided.")
                    with lock:
                        status, said = store.answer(self.command, re.sub("/+$", "", path), query, json.loads(body or b"{}"))
                except Refused as refused:
                    status, said = refused.status, refused.said
                sent = b"" if said is None else json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(sent)))
                self.send_header("X-API-Product-Name", "AWX")
                self.send_header("X-API-Product-Version", awx_collection.VERSION)
                self.end_headers()
                self.wfile.write(sent)

            do_GET = do_POST = do_PATCH = do_DELETE = reply

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def __enter__(self) -> StandIn:
        self.thread.start()
        return self

    def __exit__(self, *_words: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    @property
    def environment(self) -> dict[str, str]:
        """How the modules of awx.awx, and a job with a credential for it, find it."""
        return {"CONTROLLER_HOST": f"http://127.0.0.1:{self.server.server_port}", "CONTROLLER_OAUTH_TOKEN": TOKEN}

    def approve(self, workflow_job: int, answers: dict[str, str]) -> None:
        """Pretend that a workflow runs whose approvals these users gave; an empty name is an approval that waits."""
        nodes = [
            {
                "identifier": "preflight",
                "related": {"job": f"{API}/jobs/1/"},
                "summary_fields": {"job": {"type": "job", "status": "successful"}},
            },
            {"identifier": "backup", "related": {}, "summary_fields": {}},
        ]
        for number, (identifier, user) in enumerate(answers.items(), 2):
            summary = {"job": {"type": "workflow_approval", "status": "successful" if user else "pending"}}
            nodes.append({"identifier": identifier, "related": {"job": f"{API}/workflow_approvals/{number}/"}, "summary_fields": summary})
            self.store.jobs[f"/workflow_approvals/{number}"] = {"summary_fields": {"approved_or_denied_by": {"username": user}}}
        self.store.jobs[f"/workflow_jobs/{workflow_job}/workflow_nodes"] = {"count": len(nodes), "next": None, "results": nodes}
