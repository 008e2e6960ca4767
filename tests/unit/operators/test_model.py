from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from penstock.operators.event import Usage
from penstock.operators.model import ModelSettings, PriceSettings, checked_address, request_parameters


def model(**settings: Any) -> ModelSettings:
    return ModelSettings.model_validate({"base_url": "https://models.example/v1", "model": "m", **settings})


def test_cached_tokens_are_part_of_the_input_and_have_their_own_price() -> None:
    price = PriceSettings.model_validate({"input": 0.6, "cached": 0.06, "output": 1.8})
    assert price.cost(Usage(1000, 400, 10)) == Decimal("0.000402")


def test_without_a_price_of_their_own_cached_tokens_cost_like_others() -> None:
    price = PriceSettings.model_validate({"input": 1, "output": 0})
    assert price.cost(Usage(1000, 400, 10)) == Decimal("0.001")


def test_every_request_has_a_temperature_and_a_bound() -> None:
    assert request_parameters(model(), None) == {"temperature": 0, "max_tokens": 1024}
    assert request_parameters(model(), 2000) == {"temperature": 0, "max_tokens": 2000}


def test_the_request_map_is_passed_on_and_the_tighter_bound_counts() -> None:
    request = {"temperature": 0.7, "max_tokens": 400, "top_p": 0.9}
    assert request_parameters(model(request=request), 1024) == request
    assert request_parameters(model(request=request), 100) == {**request, "max_tokens": 100}


def test_null_leaves_a_default_out_and_a_newer_name_of_the_bound_is_kept() -> None:
    request = {"temperature": None, "max_completion_tokens": 2000}
    assert request_parameters(model(request=request), 1024) == {"max_completion_tokens": 1024}
    assert request_parameters(model(request=request), None) == {"max_completion_tokens": 2000}


def test_what_penstock_sets_itself_cannot_stand_in_the_request() -> None:
    with pytest.raises(ValidationError, match="model, stream: set by Penstock itself"):
        model(request={"stream": False, "model": "x"})
    with pytest.raises(ValidationError, match="continue_final_message, echo: set by Penstock itself"):
        model(request={"continue_final_message": True, "echo": True})


def test_a_key_is_never_shown() -> None:
    assert "hunter2" not in repr(model(api_key="hunter2"))


@pytest.mark.parametrize("url", ["http://localhost:8000/v1", "http://127.0.0.1/v1", "http://[::1]:8000/v1"])
def test_a_server_on_this_machine_needs_no_encryption(url: str) -> None:
    assert model(base_url=url).location == "cloud"


@pytest.mark.parametrize("url", ["http://localhost.evil.example/v1", "http://[::2]/v1"])
def test_an_address_that_only_looks_like_this_machine_needs_it(url: str) -> None:
    with pytest.raises(ValidationError, match="is not encrypted"):
        model(base_url=url)


def test_another_machine_without_encryption_must_be_called_local() -> None:
    assert model(base_url="http://vllm:8000/v1", location="local").base_url == "http://vllm:8000/v1"
    with pytest.raises(ValidationError, match="use https, or write `location: local`"):
        model(base_url="http://vllm:8000/v1")


@pytest.mark.parametrize(
    "settings",
    [
        {"base_url": "vllm:8000"},
        {"concurrency": 0},
        {"price": {"input": -1, "output": 0}},
        {"price": {"input": "nan", "output": 0}},
        {"tls": {"cert": "a.pem"}},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        model(**settings)


@pytest.mark.parametrize(
    "base_url",
    ["ftp://host/v1", "http:///v1", "https://:80/v1", "https://host:99999/v1", "https://host:x/v1", "https://a b/v1",
     "https://me:hunter2@host/v1", "https://host/v1?key=hunter2", "http://[::1/v1"],
)  # fmt: skip
def test_an_address_that_no_client_can_take_is_refused_and_not_repeated(base_url: str) -> None:
    with pytest.raises(ValueError, match="write it as http://host:port/v1") as refused:
        checked_address(base_url)
    assert "hunter2" not in str(refused.value)
    with pytest.raises(ValidationError):
        model(base_url=base_url)
