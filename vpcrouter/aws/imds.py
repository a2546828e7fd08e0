"""The instance metadata service (IMDSv2): the region and VPC of this instance.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html
"""

import os
import time
import urllib.error
import urllib.request

from vpcrouter.errors import EX_UNAVAILABLE, ConfigError

DEFAULT_ENDPOINT = "http://169.254.169.254"
PATIENCE_S = 2.0
TOKEN_TTL_S = 60
MAX_ANSWER_BYTES = 4096
NEEDED = "is needed: --{0}, or {0} in section [vpcrouter]"


class LateError(ConfigError):
    """The service has not answered in time. It may later, so a worker is started again."""

    exit_status = EX_UNAVAILABLE


class Metadata:
    """A client for the service. All its requests together take at most `PATIENCE_S` seconds.

    The AWS SDKs' environment variables set the end point and can disable it.
    """

    def __init__(self) -> None:
        endpoint = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or DEFAULT_ENDPOINT
        self._endpoint = endpoint.rstrip("/")
        self._is_off = os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true"
        self._deadline_s = time.monotonic() + PATIENCE_S
        self._token = ""

    def region(self) -> str:
        """The region, from its own field. Raises ConfigError, which may be a LateError."""
        return self._get("placement/region", "region")

    def vpc(self) -> str:
        """The VPC of the instance's primary interface. Raises ConfigError."""
        try:
            mac = self._get("mac", "vpc")
            return self._get(f"network/interfaces/macs/{mac}/vpc-id", "vpc")
        except LateError as error:
            # Asked for when the daemon starts: whoever starts it is told at once.
            raise ConfigError(error.faults) from None

    def _get(self, path: str, option: str) -> str:
        if self._is_off:
            raise ConfigError([_not_here(option, "AWS_EC2_METADATA_DISABLED is set")])
        try:
            if not self._token:
                seconds = {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_TTL_S)}
                self._token = self._ask("PUT", "/latest/api/token", seconds)
            token = {"X-aws-ec2-metadata-token": self._token}
            answer = self._ask("GET", f"/latest/meta-data/{path}", token)
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            kind = LateError if isinstance(reason, TimeoutError) else ConfigError
            raise kind([_not_here(option, str(reason))]) from None
        if not answer:
            raise ConfigError([_not_here(option, f"no {path} in its answer")])
        return answer

    def _ask(self, method: str, path: str, headers: dict[str, str]) -> str:
        left_s = self._deadline_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("timed out")
        request = urllib.request.Request(self._endpoint + path, headers=headers, method=method)  # noqa: S310
        # Not through a proxy: it would answer for the proxy's instance.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=left_s) as answer:
            return str(answer.read(MAX_ANSWER_BYTES).decode("ascii")).strip()


def _not_here(option: str, reason: str) -> str:
    needed = NEEDED.format(option)
    return f"{option}: {needed}; the instance metadata service did not provide it ({reason})"
