"""The errors of the EC2 API that faults name: status and message as EC2 answers them.

Sources: "Error codes for the Amazon EC2 API" (EC2 Developer Guide), "Common Errors" (API
references of EC2, STS and SQS), "Troubleshooting access denied error messages" (IAM User Guide).
"""

from __future__ import annotations

import base64
import hashlib

from .answers import Answer
from .calls import Call

ACCOUNT = "123456789012"
ROLE = f"arn:aws:sts::{ACCOUNT}:assumed-role/vpcrouter/i-0123456789abcdef0"
UNKNOWN = (400, "The request was refused.")
ERRORS = {
    "InternalError": (500, "An internal error has occurred"),
    "InternalFailure": (500, "The request processing has failed because of an unknown error"),
    "Unavailable": (503, "The server is overloaded and can't handle the request."),
    "ServiceUnavailable": (503, "The request has failed due to a temporary failure of the server."),
    "RequestLimitExceeded": (503, "Request limit exceeded."),
    # A key that EC2 does not know, or does not know yet or any more.
    "AuthFailure": (401, "AWS was not able to validate the provided access credentials"),
    "InvalidClientTokenId": (403, "The security token included in the request is invalid."),
    # Temporary credentials after their end: EC2 says the first, other services the second.
    "RequestExpired": (400, "Request has expired."),
    "ExpiredToken": (403, "The security token included in the request is expired"),
    "InvalidSignatureException": (403, "Signature expired"),
    "RequestTimeTooSkewed": (
        403,
        "The difference between the request time and the current time is too large.",
    ),
    "UnauthorizedOperation": (403, "You are not authorized to perform this operation."),
}


def refusal(call: Call, code: str, message: str | None = None, status: int | None = None) -> Answer:
    """The error as the call's service answers it."""
    usual, _ = ERRORS.get(code, UNKNOWN)
    error = Answer.json_error if call.speaks_json else Answer.error
    text = _message(code, call) if message is None else message
    return error(usual if status is None else status, code, text)


def _message(code: str, call: Call) -> str:
    """EC2's message; that of a refused action names the role and has an encoded part.

    The encoded part is what sts:DecodeAuthorizationMessage takes, and of any length.
    """
    _, message = ERRORS.get(code, UNKNOWN)
    if code != "UnauthorizedOperation":
        return message
    encoded = base64.urlsafe_b64encode(hashlib.sha512(call.action.encode()).digest() * 8)
    return (
        f"{message} User: {ROLE} is not authorized to perform: ec2:{call.action} because no "
        f"identity-based policy allows the ec2:{call.action} action. "
        f"Encoded authorization failure message: {encoded.decode()}"
    )
