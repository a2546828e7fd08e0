"""AWS: sessions, clients and errors. Only this room knows boto3."""

from collections.abc import Callable
from typing import Any, TypeVar

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from vpcrouter import __version__
from vpcrouter.aws.credentials import CredentialChain
from vpcrouter.aws.deadline import limit_answers
from vpcrouter.aws.imds import Metadata
from vpcrouter.aws.parsing import Parsers
from vpcrouter.errors import ConfigError, Ec2Error

CONNECT_TIMEOUT_S = 3
ANSWER_TIMEOUT_S = 5.0
UNREADABLE = "UnreadableAnswer"
TIMED_OUT = "ReadTimeoutError"
USER_AGENT = f"vpcrouter/{__version__} Boto3/{boto3.__version__} Botocore/{botocore.__version__}"
"""As CloudTrail shows it. Saves botocore building its own for each request: 0.1 ms of 0.4."""

T = TypeVar("T")


def open_session(region: str | None) -> boto3.session.Session:
    """Credentials, region and end point come the way boto3 finds them.

    The default region is that of this instance. Raises ConfigError for settings that boto3
    cannot use, and when there is no region.
    """
    try:
        session = _session(region)
        return session if session.region_name else _session(Metadata().region())
    except BotoCoreError as error:
        raise ConfigError([f"AWS settings: {error}"]) from None


def _session(region: str | None) -> boto3.session.Session:
    core = botocore.session.get_session()
    core.register_component("response_parser_factory", Parsers())
    core.register_component("credential_provider", CredentialChain(core, region))
    return boto3.session.Session(region_name=region, botocore_session=core)


def make_client(
    session: boto3.session.Session,
    service: str,
    *,
    attempts: int,
    connections: int = 4,
    answer_timeout_s: float = ANSWER_TIMEOUT_S,
) -> Any:
    """A client that gives up within seconds. Raises ConfigError.

    Each request has to be answered, to the last byte, within `answer_timeout_s`.
    """
    config = Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=answer_timeout_s,
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=connections,
        tcp_keepalive=True,
        user_agent=USER_AGENT,
    )
    try:
        client = session.client(service, config=config)  # type: ignore[call-overload]
    except (BotoCoreError, ValueError) as error:
        raise ConfigError([f"AWS settings: {error}"]) from None
    limit_answers(client._endpoint.http_session)
    return client


def mapping_errors(name: str, call: Callable[[], T]) -> T:
    """What `call` returns; every error becomes an Ec2Error that says `name`."""
    try:
        return call()
    except Ec2Error:
        raise
    except ClientError as error:
        details = error.response.get("Error", {})
        raise Ec2Error(name, details.get("Code", "?"), details.get("Message", "")) from error
    except BotoCoreError as error:
        raise Ec2Error(name, type(error).__name__, str(error)) from error
    except Exception as error:  # a malformed answer can raise anything in the parsers
        reason = str(error).splitlines()[0][:200] if str(error) else ""
        raise Ec2Error(name, UNREADABLE, f"{type(error).__name__}: {reason}") from error
