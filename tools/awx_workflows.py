"""Workflows and schedules of the data for AWX: their nodes, their links, and what each is given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import awx_collection
import awx_data
import awx_reads
import awx_rules
from awx_data import NODES, Data, Problem

LINKS = ("success_nodes", "failure_nodes", "always_nodes")
#: What a node or a schedule can change of its template, only if that one asks at its launch.
PROMPTS = {
    "inventory": "ask_inventory_on_launch",
    "limit": "ask_limit_on_launch",
    "scm_branch": "ask_scm_branch_on_launch",
    "job_type": "ask_job_type_on_launch",
    "job_tags": "ask_tags_on_launch",
    "skip_tags": "ask_skip_tags_on_launch",
    "diff_mode": "ask_diff_mode_on_launch",
    "verbosity": "ask_verbosity_on_launch",
    "credentials": "ask_credential_on_launch",
    "execution_environment": "ask_execution_environment_on_launch",
    "forks": "ask_forks_on_launch",
    "timeout": "ask_timeout_on_launch",
    "labels": "ask_labels_on_launch",
}


def check(data: Data) -> Iterator[Problem]:
    """Everything that is wrong with workflows and schedules."""
    for one in data.of("controller_workflows"):
        for text in (*of_survey(data, one), *of_nodes(one), *of_links(one), *of_launches(data, one)):
            yield data.problem("controller_workflows", one.get("name"), text)
    for one in data.of("controller_schedules"):
        for text in of_schedule(data, one):
            yield data.problem("controller_schedules", one.get("name"), text)


def template_of(data: Data, one: dict[str, Any]) -> dict[str, Any]:
    """The template or workflow that a node or a schedule runs."""
    name = one.get("unified_job_template")
    return data.named("controller_templates", name) or data.named("controller_workflows", name)


def reads(data: Data, template: dict[str, Any]) -> set[str]:
    """What a template's playbook reads; of a workflow, what its nodes read."""
    if "playbook" in template:
        return set(awx_reads.of(str(template["playbook"]).removesuffix(".yml")).names)
    return set().union(*(reads(data, template_of(data, node)) for node in awx_data.nodes(template)))


def of_survey(data: Data, workflow: dict[str, Any]) -> Iterator[str]:
    """A workflow's survey: its questions, and that a node reads each."""
    spec = workflow.get("survey_spec") or workflow.get("survey")
    if bool(workflow.get("survey_enabled")) != bool(spec):
        yield "survey_enabled: it must be true with a survey_spec, and false without one"
    if workflow.get("allow_simultaneous") is not False:
        yield "allow_simultaneous: it must be false, or two people deploy at the same time"
    for name in sorted(set(awx_data.table(workflow.get("extra_vars"))) - reads(data, workflow)):
        yield f"extra_vars: no node reads {name}"
    if spec:
        yield from awx_rules.survey(spec)
    for question in awx_data.questions(workflow):
        variable = str(question.get("variable"))
        for text in awx_rules.question_for(question, awx_reads.options().get(variable, {})):
            yield f"question {variable}: {text}"
        if variable not in reads(data, workflow) or variable not in awx_reads.options():
            yield f"question {variable}: no node reads such a setting"


def of_nodes(workflow: dict[str, Any]) -> Iterator[str]:
    """Each node by itself."""
    given = workflow.get(NODES)
    if not isinstance(given, list) or not given:
        yield f"{NODES}: it has no node"
        return
    for node in awx_data.nodes(workflow):
        name = node.get("identifier", "without an identifier")
        for text in awx_collection.problems("workflow_job_template_node", {**node, "workflow_job_template": str(workflow.get("name"))}):
            yield f"node {name}: {text}"
        if bool(node.get("unified_job_template")) == bool(node.get("approval_node")):
            yield f"node {name}: it has either a unified_job_template or an approval_node"
        if node.get("approval_node") and not awx_data.table(node["approval_node"]).get("timeout"):
            yield f"node {name}: approval_node.timeout is missing; it would wait for ever"
    for name, count in Counter(str(node.get("identifier")) for node in awx_data.nodes(workflow)).items():
        if count > 1:
            yield f"node {name}: two nodes have this identifier"


def of_links(workflow: dict[str, Any]) -> Iterator[str]:
    """Every link leads to a node, and none leads back."""
    nexts = {
        str(node.get("identifier")): [name for link in LINKS for name in awx_data.listed(node.get(link))]
        for node in awx_data.nodes(workflow)
    }
    for node in awx_data.nodes(workflow):
        twice = [name for name, count in Counter(nexts[str(node.get("identifier"))]).items() if count > 1]
        for name in twice:
            yield f"node {node.get('identifier')}: it leads to {name} by two links; AWX takes one"
    for name, others in nexts.items():
        for other in sorted(set(others) - set(nexts)):
            yield f"node {name}: it leads to {other}, which is no node"
    left = dict(nexts)
    while True:  # take away the nodes that lead nowhere any more; what remains goes round in a circle
        ends = [name for name, others in left.items() if not set(others) & set(left)]
        if not ends:
            break
        left = {name: others for name, others in left.items() if name not in ends}
    if left:
        yield f"nodes {', '.join(sorted(left))}: their links make a circle"


def of_launches(data: Data, workflow: dict[str, Any]) -> Iterator[str]:
    """Each node's template takes what the node gives it, and lacks nothing."""
    common = {str(question.get("variable")) for question in awx_data.questions(workflow)} | set(awx_data.table(workflow.get("extra_vars")))
    for node in awx_data.nodes(workflow):
        for text in of_launch(template_of(data, node), node, common):
            yield f"node {node.get('identifier')}: {text}"


def of_launch(template: dict[str, Any], launch: dict[str, Any], common: set[str]) -> Iterator[str]:
    """What a node or a schedule gives its template, and what remains unanswered."""
    if not template:
        return
    for prompt, ask in PROMPTS.items():
        if launch.get(prompt) and not template.get(ask):
            yield f"{prompt}: {template.get('name')} ignores it, because its {ask} is not true"
    asked = {str(question.get("variable")): question for question in awx_data.questions(template)}
    given = awx_data.table(launch.get("extra_data"))
    for variable, value in given.items():
        if variable not in asked:
            if not template.get("ask_variables_on_launch"):
                yield f"extra_data: the survey of {template.get('name')} does not ask for {variable}, so AWX refuses it"
            continue
        for text in awx_rules.question_alone({**asked[variable], "default": value}):
            yield f"extra_data {variable}: {text}"
    for variable, question in asked.items():
        if question.get("required") and question.get("default") in (None, "") and variable not in common | set(given):
            yield f"{template.get('name')} needs {variable}, and nothing answers it"


def of_schedule(data: Data, one: dict[str, Any]) -> Iterator[str]:
    """When a schedule runs, and what it gives its template."""
    if not one.get("unified_job_template"):
        yield "unified_job_template: it runs nothing"
    for text in awx_rules.rrule(one.get("rrule")):
        yield f"rrule: {text}"
    yield from of_launch(template_of(data, one), one, set())
