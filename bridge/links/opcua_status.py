"""OPC UA status codes by name, sorted by what the bridge may conclude from them."""

from __future__ import annotations

from bridge.ports import WriteOutcome, WriteResult

REFUSALS = frozenset(
    {
        "BadUserAccessDenied",
        "BadIdentityTokenInvalid",
        "BadIdentityTokenRejected",
        "BadUserSignatureInvalid",
        "BadApplicationSignatureInvalid",
        "BadNoValidCertificates",
        "BadSecurityChecksFailed",
        "BadSecurityModeRejected",
        "BadSecurityPolicyRejected",
        "BadSecurityModeInsufficient",
        "BadCertificateInvalid",
        "BadCertificateTimeInvalid",
        "BadCertificateIssuerTimeInvalid",
        "BadCertificateHostNameInvalid",
        "BadCertificateUriInvalid",
        "BadCertificateUseNotAllowed",
        "BadCertificateIssuerUseNotAllowed",
        "BadCertificateUntrusted",
        "BadCertificateRevocationUnknown",
        "BadCertificateIssuerRevocationUnknown",
        "BadCertificateRevoked",
        "BadCertificateIssuerRevoked",
        "BadCertificateChainIncomplete",
        "BadCertificatePolicyCheckFailed",
    }
)
"""While connecting: these do not get better by waiting; somebody edits a file, a grant or a trust list."""

UNDECIDED = frozenset(
    {
        "BadTimeout",
        "BadRequestTimeout",
        "BadRequestInterrupted",
        "BadRequestCancelledByRequest",
        "BadRequestCancelledByClient",
        "BadCommunicationError",
        "BadConnectionClosed",
        "BadSecureChannelClosed",
        "BadInternalError",
        "BadUnexpectedError",
        "BadUnknownResponse",
        "BadShutdown",
        "BadServerHalted",
    }
)
"""In answer to a write: the server lost sight of it, and the value may have reached the device all the same."""


def outcome(name: str) -> WriteOutcome:
    """What one status in a Write response says. Good with a subcode is accepted and keeps its name."""
    if name.startswith("Good"):
        return WriteOutcome(result=WriteResult.ACCEPTED, status=name)
    if name in UNDECIDED or name.startswith("Uncertain"):
        return WriteOutcome(
            result=WriteResult.UNKNOWN, status=name, detail="the server cannot say whether the value arrived"
        )
    return WriteOutcome(result=WriteResult.REFUSED, status=name, detail="the server refused the write")


def advice(name: str) -> str:
    """What to do about a refusal while connecting."""
    if name in (
        "BadUserAccessDenied",
        "BadIdentityTokenRejected",
        "BadIdentityTokenInvalid",
        "BadUserSignatureInvalid",
    ):
        return "the server refuses username or password; check both, and that this user may open a session"
    if name in ("BadSecurityPolicyRejected", "BadSecurityModeRejected", "BadSecurityModeInsufficient"):
        return (
            "the server does not offer this policy with SignAndEncrypt; enable it there or change `security`"
        )
    return (
        "the server refuses our certificate, or server_certificate is not its present one; "
        "trust ours on the server and pin the one it uses now"
    )
