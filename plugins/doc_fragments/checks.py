# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The options that define probes."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation of O(checks) and O(headers), and of what they need on the target."""

    DOCUMENTATION = r"""
options:
  checks:
    description:
      - The probes that tell whether the service is well.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: What to call the check in results and logs. The URL by default. Of several with one name the later ones get a number.
        type: str
      url:
        description: Where to send it, with V(http://) or V(https://).
        type: str
        required: true
      method:
        description: The HTTP method.
        type: str
        default: GET
      headers:
        description: Headers of this check; they win over O(headers).
        type: dict
      secret_headers:
        description: Headers of this check that are secrets; they win over all others.
        type: dict
      body:
        description: The body to send.
        type: str
      status:
        description: The expected HTTP status codes.
        type: list
        elements: int
        default: [200]
      contains:
        description: Text that the body must contain. C({release}) stands for the id of the release that has to answer.
        type: str
      json:
        description:
          - JMESPath expressions that must each be true of the JSON body.
          - C({release}) in them stands for the id of the release that has to answer.
        type: list
        elements: str
      timeout:
        description: Seconds within which the whole answer must be there, redirects included.
        type: float
        default: 5
      max_ms:
        description: Milliseconds above which a right answer counts as V(slow).
        type: float
      redirects:
        description:
          - How many redirects to follow. With V(0), a redirect is judged as the answer that it is.
          - A redirect to another host is sent without the headers and credentials of the check.
        type: int
        default: 0
      attempts:
        description:
          - How often to try at most, until the answer is right.
          - The sample tells how many attempts it took, and why the earlier ones failed.
        type: int
        default: 1
      backoff:
        description: Seconds before the second attempt; twice as long before each further one.
        type: float
        default: 0
      ca:
        description: File with the certificates of the authorities that are trusted, in place of the usual ones.
        type: path
      validate_certs:
        description: Whether the server's certificate must be valid.
        type: bool
        default: true
      client_cert:
        description: File with the certificate to show to the server, as PEM. It may hold the key too.
        type: path
      client_key:
        description: File with the key of O(checks[].client_cert), without a passphrase.
        type: path
      proxy:
        description:
          - URL of the proxy to ask, with V(http://) or V(https://). A proxy of the environment is never used.
          - A password in it is not shown in results; at C(-vvv) Ansible shows the option as it was given.
        type: str
      username:
        description: Name for basic authentication.
        type: str
      password:
        description: Password for basic authentication.
        type: str
      token:
        description: Bearer token to authenticate with.
        type: str
  headers:
    description: Headers that every check sends. They are shown; what is a secret goes into O(secret_headers).
    type: dict
    default: {}
  secret_headers:
    description:
      - Headers that every check sends and that are secrets, such as C(Authorization). They win over O(headers).
      - Their values are never shown. A watch keeps them in its folder, which only the user who runs it can read.
    type: dict
    default: {}
requirements:
  - requests on the target
  - jmespath on the target, for C(json) in a check
"""


# The same for checks that drills use. ansible-test wants texts in the class to be literals, so it is set here.
_LIVE = "The probes that tell whether the service is well."
_DRILL = "The probes that the application must pass on restored data; those of O(checks) when there is none."
_TEXT = ModuleDocFragment.DOCUMENTATION.replace("\n  checks:\n", "\n  drill_checks:\n", 1).replace(_LIVE, _DRILL, 1)
setattr(ModuleDocFragment, "DRILL", _TEXT)  # noqa: B010
