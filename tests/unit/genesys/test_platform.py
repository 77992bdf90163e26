import pytest

from streamweir.errors import (
    AuthenticationError,
    ConfigError,
    MissingScopeError,
    NotFoundError,
    ProtocolError,
    RateLimitError,
)
from streamweir.genesys.errors import error_of, parse_error
from streamweir.genesys.login import MAX_LIFETIME, read_grant, token_refusal, token_request
from streamweir.genesys.refusals import rate_limit, refusal
from streamweir.genesys.regions import REGIONS, hosts_of_base_url, hosts_of_region

USW2 = ("https://api.usw2.pure.cloud", "https://login.usw2.pure.cloud")


@pytest.mark.parametrize(
    "text",
    [
        "us-west-2",
        "us_west_2",
        "US-West-2",
        "usw2.pure.cloud",
        "api.usw2.pure.cloud",
        "https://api.usw2.pure.cloud/",
        "login.usw2.pure.cloud",
        "https://apps.usw2.pure.cloud",
    ],
)
def test_every_spelling_of_a_region(text: str) -> None:
    hosts = hosts_of_region(text)
    assert (hosts.api, hosts.login) == USW2


@pytest.mark.parametrize(("name", "domain"), REGIONS.items())
def test_every_region(name: str, domain: str) -> None:
    assert hosts_of_region(name).api == f"https://api.{domain}"


def test_localhost_means_plain_http() -> None:
    assert hosts_of_region("localhost:8788").api == "http://localhost:8788"


def test_a_typo_in_a_region_gets_a_suggestion() -> None:
    with pytest.raises(ConfigError, match="did you mean us-west-2"):
        hosts_of_region("us-west2")
    with pytest.raises(ConfigError, match="not a URL"):
        hosts_of_base_url("127.0.0.1:8788")


@pytest.mark.parametrize("text", ["https://[", "https://a]b", "https://[::1", "http://a\u2100b"])
def test_a_url_that_cannot_be_split_is_a_mistake_in_the_configuration(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a"):
        hosts_of_region(text)
    with pytest.raises(ConfigError, match="is not a URL"):
        hosts_of_base_url(text)


def test_login_forms() -> None:
    hosts = hosts_of_region("usw2.pure.cloud")
    platform = token_request("platform", hosts, "id", "s:e", ("a",), None)
    assert (platform.url, platform.body) == (
        "https://login.usw2.pure.cloud/oauth/token",
        b"grant_type=client_credentials",
    )
    assert ("Authorization", "Basic aWQ6czpl") in platform.headers
    body = token_request("api-body", hosts, "id", "s", ("a",), None)
    assert (body.url, body.body) == (
        "https://api.usw2.pure.cloud/oauth/token",
        b"grant_type=client_credentials&client_id=id&client_secret=s",
    )
    v2 = token_request("login-v2", hosts, "id", "s", ("a", "b"), "https://x/y")
    assert v2.url == "https://x/y"
    assert v2.body.endswith(b"scope=a+b")
    assert "s:e" not in repr(platform)


def test_grants() -> None:
    assert read_grant(b'{"access_token":"t","expires_in":60}', "id", ()).expires_in == 60
    assert read_grant(b'{"access_token":"t","expires_in":null,"scope":null}', "id", ("a",)).expires_in == 300
    with pytest.raises(MissingScopeError, match="'id'.* scope b"):
        read_grant(b'{"access_token":"t","scope":"a c"}', "id", ("a", "b"))
    for body in (b"", b"[]", b"{}", b'{"access_token":""}'):
        with pytest.raises(ProtocolError):
            read_grant(body, "id", ())


def test_a_lifetime_beyond_every_float_is_cut() -> None:
    body = b'{"access_token":"a","expires_in":1' + b"0" * 400 + b"}"
    assert read_grant(body, "id", ()).expires_in == MAX_LIFETIME


def test_a_grant_that_is_not_utf_8_is_none() -> None:
    with pytest.raises(ProtocolError):
        read_grant(b'{"access_token":"\xff"}', "id", ())


def test_token_refusals() -> None:
    wrong = token_refusal(400, b'{"error":"invalid_client","description":"authentication failed"}', "id", "login.x")
    assert isinstance(wrong, AuthenticationError)
    assert "another region than login.x" in wrong.message
    limited = token_refusal(
        400, b'{"error":"invalid_request","error_description":"rate limit exceeded; wait"}', "id", "x"
    )
    assert isinstance(limited, RateLimitError)


def test_refusals() -> None:
    body = b'{"message":"Not here.","code":"not.found","status":404,"contextId":"ctx"}'
    error = refusal(404, {"inin-correlation-id": "corr"}, body, ())
    assert isinstance(error, NotFoundError)
    assert (error.status, error.code, error.context_id, error.correlation_id) == (404, "not.found", "ctx", "corr")
    assert "Not here; check" in error.message
    assert "ai:x" in refusal(403, {}, b"", ("ai:x",)).message


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>502</html>", b"\xff", b"{", b"null", b'{"message":null}', b'["a"]', b'{"message":5,"code":[]}'],
)
def test_bodies_that_are_no_errors(body: bytes) -> None:
    assert "<" not in parse_error(body).message
    refusal(502, {}, body, ())


DEEP = [b"[" * 100_000, b'{"error":' * 100_000]


@pytest.mark.parametrize("body", DEEP)
def test_bodies_of_any_depth(body: bytes) -> None:
    assert refusal(500, {}, body, ()).status == 500
    assert token_refusal(400, body, "id", "here").status == 400
    with pytest.raises(ProtocolError):
        read_grant(body, "id", ())


def test_an_error_in_errors_is_found_at_any_depth() -> None:
    found: object = {"message": "m"}
    for _ in range(10_000):
        found = {"error": found}
    assert error_of(found).message == "m"


def test_rate_limit_headers() -> None:
    found = rate_limit({"inin-ratelimit-count": "3", "inin-ratelimit-allowed": "300", "inin-ratelimit-reset": "x"})
    assert found is not None
    assert (found.count, found.allowed, found.reset) == (3, 300, None)
    assert rate_limit({}) is None
