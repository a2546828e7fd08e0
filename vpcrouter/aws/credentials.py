"""Credentials that are looked up again when there are none, or AWS refuses them.

boto3 looks for them once, when a client is made, and then refreshes only those that have a time
to expire. A role that an instance gets later, keys that were replaced in a file, or temporary
credentials that were revoked before their time would need a restart.
"""

import threading
import time
from typing import Any

from botocore.credentials import Credentials, ReadOnlyCredentials, create_credential_resolver
from botocore.exceptions import NoCredentialsError
from botocore.session import Session

REFUSED_CODES = frozenset(
    {
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidClientTokenId",
        "RequestExpired",
        "UnrecognizedClientException",
    }
)
"""Errors that may end with other credentials ("Error codes for the Amazon EC2 API"). Some are
also those of a clock that is wrong."""
AGAIN_S = 5.0
"""From a look-up after a refusal to the next one: some refusals do not end with others."""
PATIENCE_S = 0.5
"""How long a request waits for the look-up of another one before it goes by those refused."""


class CurrentCredentials(Credentials):
    """Found the way boto3 finds them. Thread-safe."""

    def __init__(self, session: Session, region: str | None) -> None:
        super().__init__("", "")
        self._session = session
        self._region = region
        self._lock = threading.Lock()
        self._found: Credentials | None = None
        self._is_refused = False
        self._again_at = 0.0

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """What the next request is signed with. Raises NoCredentialsError."""
        found = self._found
        if found is None or self._must_look():
            found = self._look()
        return found.get_frozen_credentials()

    def answered(self, **event: Any) -> None:
        """Note an answer of AWS; a handler of botocore's event `after-call`."""
        if event["parsed"].get("Error", {}).get("Code") in REFUSED_CODES:
            self._is_refused = True

    def _must_look(self) -> bool:
        return self._is_refused and time.monotonic() >= self._again_at

    def _look(self) -> Credentials:
        found = self._found
        if found is None:
            self._lock.acquire()
        elif not self._lock.acquire(timeout=PATIENCE_S):
            return found
        try:
            if self._found is None or self._must_look():
                self._found = self._load() or self._found
            if self._found is None:
                raise NoCredentialsError
            return self._found
        finally:
            self._lock.release()

    def _load(self) -> Credentials | None:
        """May take seconds where a service of the chain does not answer."""
        try:
            chain = create_credential_resolver(self._session, region_name=self._region)
            found: Credentials | None = chain.load_credentials()
        finally:
            self._again_at = time.monotonic() + AGAIN_S if self._is_refused else 0.0
        self._is_refused = False
        return found


class CredentialChain:
    """Stands in for botocore's component `credential_provider`."""

    def __init__(self, session: Session, region: str | None) -> None:
        self._credentials = CurrentCredentials(session, region)
        session.register("after-call", self._credentials.answered)

    def load_credentials(self) -> Credentials:
        return self._credentials
