from __future__ import annotations

import pytest

from penstock.operators.template import Template, TemplateError, TemplateFailure, annotate

SCOPE = {"key": "LabSZ", "values": {"failures": 23, "items": 5}, "trigger": {"name": "brute_force"}}


def failure(text: str) -> str:
    rendered = Template(text).render(SCOPE)
    assert isinstance(rendered, TemplateFailure)
    return rendered.reason


def test_values_are_filled_in() -> None:
    assert (
        Template("{{ values.failures }} on {{ key }}: {{ trigger.name }}").render(SCOPE) == "23 on LabSZ: brute_force"
    )


def test_a_definition_may_have_the_name_of_a_method() -> None:
    assert Template("{{ values.items }}").render(SCOPE) == "5"


def test_what_a_template_names_is_known_before_it_is_rendered() -> None:
    template = Template("{{ values.a }} {{ values['b'] }} {% if values.c > key %}{{ other }}{% endif %}")
    assert template.values == {"a", "b", "c"}
    assert template.names == {"values", "key", "other"}


def test_data_is_never_a_template() -> None:
    assert Template("{{ key }}").render({"key": "{{ values }}"}) == "{{ values }}"


def test_a_name_that_is_not_there_is_a_failure_that_names_it() -> None:
    assert "'dict object' has no attribute 'tries'" in failure("{{ values.tries }}")
    assert "'no_such' is undefined" in failure("{{ no_such }}")


@pytest.mark.parametrize(
    "text",
    [
        "{{ key.__class__.__mro__ }}",
        "{{ values.update({'a': 1}) }}",
        "{{ 1 / 0 }}",
        "{% include 'secrets' %}",
        "{{ range(10 ** 9) | list }}",
    ],
)
def test_what_the_sandbox_forbids_or_cannot_do_is_a_failure(text: str) -> None:
    assert failure(text)


@pytest.mark.parametrize(("text", "line"), [("a\n{{ key", 2), ("{% if %}", 1), ("{{ key | no_such }}", 1)])
def test_a_text_that_is_no_template_is_refused_with_its_line(text: str, line: int) -> None:
    with pytest.raises(TemplateError) as refused:
        Template(text)
    assert refused.value.line == line


def test_an_annotation_that_fails_shows_why_and_the_others_are_there() -> None:
    shown = annotate({"good": Template("{{ key }}"), "bad": Template("{{ nobody }}")}, SCOPE)
    assert shown["good"] == "LabSZ"
    assert shown["bad"] == "(the template '{{ nobody }}' cannot be rendered: 'nobody' is undefined)"


def test_a_template_knows_under_which_names_it_may_look_for_fields() -> None:
    template = Template('{{ steps.p[0].ip }} {{ steps["q"] | map(attribute="geo.city") | join(", ") }} {{ values.n }}')
    assert template.steps == {"p", "q"}
    assert {"ip", "geo"} <= template.members
